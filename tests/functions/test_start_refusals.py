"""A process that must not serve does not start, and says which file or variable is why."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from farthing.inference.bundle import FORMAT
from tests.functions.knative import KNATIVE
from tests.functions.server import farthing, run_to_end, uvicorn

if TYPE_CHECKING:
    from pathlib import Path

EMBED = "all-minilm-l6-v2"
# A developer's server and a platform's: both must stop, each by its own way of starting.
SERVERS = {
    "farthing serve": (farthing("serve", "--port", "0"), {}),
    "uvicorn": (uvicorn("embed"), KNATIVE | {"PORT": "0"}),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def models(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of the bundles that a test may damage."""
    return shutil.copytree(models_dir, tmp_path / "models")


def refusal_of(server: str, models: Path, **environ: str) -> str:
    """What the server said when it refused to start."""
    command, own = SERVERS[server]
    ended = run_to_end(command, own | {"FARTHING_MODELS": str(models)} | environ)
    assert ended.returncode != 0
    return ended.stderr


def flip_a_byte(file: Path) -> tuple[str, str]:
    """Digests of the file before and after one of its bytes is changed."""
    content = bytearray(file.read_bytes())
    before = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return before, hashlib.sha256(content).hexdigest()


def rewrite(file: Path, **changes: Any) -> None:
    stated = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(stated | changes), encoding="utf-8")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_with_one_wrong_byte_is_named_with_both_digests(
    server: str, models: Path, name: str
) -> None:
    file = models / EMBED / name
    stated, actual = flip_a_byte(file)
    refusal = refusal_of(server, models)
    assert f"{file} has sha256 {actual}; its manifest states {stated}" in refusal


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(server: str, models: Path, name: str) -> None:
    file = models / EMBED / name
    file.unlink()
    assert f"Bundle file {file} cannot be read" in refusal_of(server, models)


def test_a_manifest_of_a_later_format_is_not_guessed_at(server: str, models: Path) -> None:
    manifest = models / EMBED / "manifest.json"
    rewrite(manifest, format=FORMAT + 1)
    refusal = refusal_of(server, models)
    assert (
        f"{manifest} has bundle format {FORMAT + 1}; this Farthing reads up to {FORMAT}" in refusal
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": "one"}'])
def test_a_manifest_that_is_none_is_named(server: str, models: Path, content: str) -> None:
    manifest = models / EMBED / "manifest.json"
    manifest.write_text(content, encoding="utf-8")
    assert f"{manifest} is not a bundle manifest" in refusal_of(server, models)


def test_a_missing_folder_is_named(server: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} holds no bundle" in refusal_of(server, nowhere)


def test_a_model_that_is_not_there_is_named(server: str, models: Path) -> None:
    refusal = refusal_of(server, models, FARTHING_MODEL="gpt-4")
    assert "asked for was gpt-4" in refusal


def test_a_bundle_of_another_digest_is_refused(models: Path) -> None:
    asked = "0" * 64
    refusal = refusal_of("uvicorn", models, FARTHING_BUNDLE_DIGEST=asked)
    actual = hashlib.sha256((models / EMBED / "manifest.json").read_bytes()).hexdigest()
    assert asked in refusal
    assert actual in refusal


def test_a_refusal_of_the_command_is_one_sentence_and_no_traceback(models: Path) -> None:
    (models / EMBED / "tokenizer.json").unlink()
    refusal = refusal_of("farthing serve", models)
    assert refusal.startswith("farthing: Bundle file ")
    assert "Traceback" not in refusal
    assert len(refusal.strip().splitlines()) == 1
