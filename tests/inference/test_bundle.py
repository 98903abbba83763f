"""A bundle is opened by digest and never by trust."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from farthing.errors import BundleCorrupt, BundleMissing, BundleTooNew, StartupError
from farthing.inference.bundle import FORMAT, Bundle, read_manifest
from farthing.inference.tasks import open_models
from farthing.settings import read_settings


@pytest.fixture
def copied(models_dir: Path, tmp_path: Path) -> Path:
    """A bundle of its own to spoil."""
    return Path(shutil.copytree(models_dir / "product-classifier", tmp_path / "product-classifier"))


def edit_manifest(bundle: Path, **changes: Any) -> None:
    file = bundle / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_an_untouched_bundle_opens_and_names_itself(copied: Path) -> None:
    bundle = Bundle.open(copied)
    assert bundle.manifest.name == "product-classifier"
    assert bundle.model_file == copied / "model.onnx"
    assert Bundle.open(copied, bundle.digest).digest == bundle.digest


@pytest.mark.parametrize("name", ["model.onnx", "ngrams.bin"])
def test_one_changed_byte_is_refused_naming_file_and_digests(copied: Path, name: str) -> None:
    stated = read_manifest(copied)[1].files[name].sha256
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=name) as refused:
        Bundle.open(copied)
    assert stated in str(refused.value)
    assert hashlib.sha256(content).hexdigest() in str(refused.value)
    assert "Restore the file" in str(refused.value)


@pytest.mark.parametrize("name", ["model.onnx", "ngrams.bin", "manifest.json"])
def test_a_missing_file_is_refused_by_name(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleMissing, match=name):
        Bundle.open(copied)


def test_a_newer_format_asks_for_an_upgrade_whatever_else_it_holds(copied: Path) -> None:
    (copied / "manifest.json").write_text(json.dumps({"format": FORMAT + 1, "shape": "unknown"}))
    with pytest.raises(BundleTooNew, match=f"format {FORMAT + 1}.*Upgrade Farthing"):
        Bundle.open(copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "paint"},
        {"labels": ["only one"]},
        {"files": {}},
        {"name": "../escape"},
        {"max_tokens": 0},
        {"files": {"model.onnx": {"sha256": "0", "bytes": 1}}},
        {"encoder": "bytes"},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    copied: Path, changes: dict[str, Any]
) -> None:
    edit_manifest(copied, **changes)
    with pytest.raises(BundleCorrupt, match="Rebuild the bundle"):
        Bundle.open(copied)


def test_each_encoder_asks_for_its_own_file(copied: Path) -> None:
    assert Bundle.open(copied).encoder_file.name == "ngrams.bin"
    edit_manifest(copied, encoder="wordpiece")
    with pytest.raises(BundleCorrupt, match=r"states no digest for tokenizer\.json"):
        read_manifest(copied)


def test_an_embedder_is_no_linear_model(copied: Path) -> None:
    edit_manifest(
        copied,
        format=2,
        task="embed",
        encoder="word",
        files={name: {"sha256": "0" * 64, "bytes": 1} for name in ("model.onnx", "ngrams.bin")},
    )
    with pytest.raises(BundleCorrupt, match="task embed with the encoder word"):
        read_manifest(copied)


def test_a_manifest_cannot_reach_outside_its_folder(copied: Path) -> None:
    _, manifest = read_manifest(copied)
    outside = {"../secret": {"sha256": "0" * 64, "bytes": 1}}
    files = {name: {"sha256": f.sha256, "bytes": f.bytes} for name, f in manifest.files.items()}
    edit_manifest(copied, files=files | outside)
    (copied.parent / "secret").write_text("not the bundle's")
    with pytest.raises(BundleCorrupt, match="is not a bundle manifest"):
        Bundle.open(copied)


def test_another_digest_than_the_one_asked_for_is_refused(copied: Path) -> None:
    with pytest.raises(BundleCorrupt, match="asked for by digest " + "0" * 64):
        Bundle.open(copied, "0" * 64)


def test_garbage_is_no_manifest(copied: Path) -> None:
    for garbage in (b"", b"\xff\xfe", b"[]", b"{"):
        (copied / "manifest.json").write_bytes(garbage)
        with pytest.raises(BundleCorrupt, match="is not a bundle manifest"):
            Bundle.open(copied)


def test_asking_for_a_bundle_that_is_not_there_names_those_that_are(copied: Path) -> None:
    settings = read_settings({}, models=str(copied.parent), model=["other"])
    with pytest.raises(StartupError, match=r"holds product-classifier; asked for was other"):
        open_models("classify", settings)
    empty = read_settings({}, models=str(copied))
    with pytest.raises(StartupError, match="holds no bundle; asked for was one for the task embed"):
        open_models("embed", empty)
