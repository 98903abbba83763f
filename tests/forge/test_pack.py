"""A bundle is published whole or not at all, and can be looked into."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("onnx")

from farthing.errors import BundleCorrupt
from farthing.forge import pack
from farthing.forge.pack.inspection import inspect
from farthing.forge.storage import DiskFull
from farthing.inference.bundle import read_manifest

BUNDLE = Path(__file__).parents[2] / "layers" / "models" / "product-classifier"


def made(folder: Path, **sizes: int) -> Path:
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        (folder / name).write_bytes(b"x" * size)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_publishing_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "mine"
    pack.publish(made(tmp_path / "one", model=10, old=5), target)
    built = made(tmp_path / "two", model=20)
    (built / "deep").mkdir()
    (built / "deep" / "file").write_bytes(b"d")
    pack.publish(built, target)
    assert sorted(file.name for file in target.iterdir()) == ["deep", "model"]
    assert (target / "deep" / "file").read_bytes() == b"d"
    assert [file.name for file in target.parent.iterdir()] == ["mine"]
    assert (built / "model").exists()


def test_a_publication_that_fails_at_the_last_step_restores_the_older_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "models" / "mine"
    pack.publish(made(tmp_path / "one", model=10), target)
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "not here")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PermissionError):
        pack.publish(made(tmp_path / "two", model=20), target)
    assert contents(target) == {"model": b"x" * 10}
    assert [file.name for file in target.parent.iterdir()] == ["mine"]


def test_a_full_disk_leaves_the_older_bundle_as_it_was(tmp_path: Path) -> None:
    """The system refuses a file above a limit with EFBIG, as a full disk does with ENOSPC."""
    target = tmp_path / "models" / "mine"
    pack.publish(made(tmp_path / "one", model=1000), target)
    built = made(tmp_path / "two", a_small_file=10, model=3_000_000)
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from farthing.forge import pack
        from farthing.forge.storage import DiskFull

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            pack.publish(Path(sys.argv[1]), Path(sys.argv[2]))
        except DiskFull as error:
            sys.exit(f"farthing: {error}")
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(built), str(target)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert str(target) in done.stderr
    assert contents(target) == {"model": b"x" * 1000}
    assert [file.name for file in target.parent.iterdir()] == ["mine"]


def test_parts_that_find_no_room_say_so(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=r"cannot be written: the disk is full.*--out"):
        pack.write_licences(tmp_path, "text " * 10_000, "notice")


def test_a_bundle_shows_what_it_is_made_of() -> None:
    seen = inspect(BUNDLE)
    digest, manifest = read_manifest(BUNDLE)
    assert seen.digest == digest
    assert seen.manifest == json.loads((BUNDLE / "manifest.json").read_bytes())
    assert seen.files == {file.name: file.stat().st_size for file in BUNDLE.iterdir()}
    assert seen.outputs[0].name == "logits"
    assert seen.outputs[0].shape[-1] == len(manifest.labels)
    assert "input_ids" in {tensor.name for tensor in seen.inputs}
    assert sum(seen.operators.values()) > 0
    assert 0 < seen.parameters <= sum(seen.stored.values())
    assert seen.vocabulary > 100
    assert seen.has_card == (BUNDLE / "README.md").exists()
    assert json.loads(msgspec.json.encode(seen))["digest"] == digest


def test_a_changed_bundle_is_not_shown(tmp_path: Path) -> None:
    copy = shutil.copytree(BUNDLE, tmp_path / "copy")
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleCorrupt, match=r"model\.onnx"):
        inspect(copy)


def test_the_receipt_is_named_in_the_manifest_and_only_if_there_is_one(tmp_path: Path) -> None:
    copy = shutil.copytree(BUNDLE, tmp_path / "copy")
    _, manifest = read_manifest(copy)
    fields = {name: getattr(manifest, name) for name in pack.Description.__dataclass_fields__
              if name not in ("batch_drift", "receipt")}  # fmt: skip
    plain = pack.Description(**fields, batch_drift=msgspec.to_builtins(manifest.batch_drift))
    pack.write_manifest(copy, plain)
    without = read_manifest(copy)
    assert "receipt" not in json.loads((copy / "manifest.json").read_bytes())
    assert without[1] == manifest
    receipted = pack.Description(**{**plain.__dict__, "receipt": "a" * 64})
    assert pack.write_manifest(copy, receipted) == read_manifest(copy)[0] != without[0]
    assert inspect(copy).manifest["receipt"] == "a" * 64
