"""What is not the segment that was written is refused by name; a read-only disk is enough."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from farthing.errors import SettingsError
from farthing.inference.bundle import FileDigest
from farthing.search.errors import IndexCorrupt, IndexMissing, IndexTooNew
from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
    SegmentEntry,
)
from farthing.search.segments import Document, Segment, SegmentWriter, encode_deletions
from farthing.search.segments.segment import verify_files

DIMS = 8
ROWS = 40
FILES = [
    "centroids.npy", "filter0-codes.npy", "filter0-words.json", "filter1-numbers.npy",
    "groups.npy", "lexical.fast", "lexical.fieldnorm", "lexical.idx", "lexical.json",
    "lexical.pos", "lexical.store", "lexical.term", "norms.npy", "segment.json",
    "term-counts.npy", "term-starts.npy", "terms.npy", "vectors.npy",
]  # fmt: skip


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of one segment, a few of whose rows are deleted."""
    root = tmp_path_factory.mktemp("index")
    (root / "segments").mkdir()
    (root / "deletions").mkdir()
    fields, filters = (Field("title"),), (Filter("kind"), Filter("price", "number"))
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMS)).astype(np.float32)
    with SegmentWriter(root / "segments", fields, filters, Analysis(), DIMS) as writer:
        for row in range(ROWS):
            title = f"red shirt {row}"
            stored = {"id": str(row), "title": title}
            writer.add(Document(str(row), (title,), ("a", float(row)), stored), vectors[row])
        entry = writer.finish()
    bits = encode_deletions(np.arange(ROWS) < 3)
    (root / "deletions" / "d.bin").write_bytes(bits)
    entry = msgspec.structs.replace(
        entry,
        deleted=3,
        deletions="d.bin",
        deletions_digest=FileDigest(hashlib.sha256(bits).hexdigest(), len(bits)),
    )
    manifest = IndexManifest(
        1, "shop", 1, "2026-01-01T00:00:00Z", "id", fields, filters, ("id", "title"), Analysis(),
        EmbedderFacts("tiny", "0" * 64, DIMS), ROWS - 3, (3.0,), (entry,),
    )  # fmt: skip
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return root


@pytest.fixture
def copied(intact: Path, tmp_path: Path) -> Path:
    """An index of its own to spoil."""
    return Path(shutil.copytree(intact, tmp_path / "index"))


def described(root: Path) -> tuple[SegmentEntry, IndexManifest]:
    manifest = msgspec.json.decode((root / "manifest.json").read_bytes(), type=IndexManifest)
    return manifest.segments[0], manifest


def open_segment(root: Path, *, verify: bool = True) -> Segment:
    return Segment.open(root, *described(root), verify=verify)


def home(root: Path) -> Path:
    return root / "segments" / described(root)[0].id


def test_these_are_all_files_of_a_segment_and_their_sizes_add_up(intact: Path) -> None:
    files = sorted(home(intact).iterdir())
    assert [file.name for file in files] == FILES
    assert described(intact)[0].bytes == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_bit_is_refused_naming_the_file_and_digests(copied: Path, name: str) -> None:
    file = home(copied) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexCorrupt, match=name) as refused:
        open_segment(copied)
    assert hashlib.sha256(content).hexdigest() in str(refused.value)
    assert "Restore the file" in str(refused.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verify", [True, False])
def test_a_shortened_file_is_refused_even_unread(copied: Path, name: str, verify: bool) -> None:
    file = home(copied) / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(IndexCorrupt, match=name):
        open_segment(copied, verify=verify)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verify", [True, False])
def test_an_absent_file_is_refused_by_name(copied: Path, name: str, verify: bool) -> None:
    (home(copied) / name).unlink()
    with pytest.raises(IndexMissing, match=f"{name}.*No such file"):
        open_segment(copied, verify=verify)


def test_a_segment_may_be_verified_after_it_was_opened(copied: Path) -> None:
    opened = open_segment(copied, verify=False)
    verify_files(opened.folder, opened.facts)
    file = home(copied) / "lexical.store"
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexCorrupt, match=r"lexical\.store"):
        verify_files(opened.folder, opened.facts)


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0\0", b"\0\0\0\0\0\0"])
def test_other_deletions_than_the_manifest_s_are_refused(copied: Path, content: bytes) -> None:
    (copied / "deletions" / "d.bin").write_bytes(content)
    with pytest.raises(IndexCorrupt, match=r"d\.bin"):
        open_segment(copied)


def test_absent_deletions_are_refused_rather_than_forgotten(copied: Path) -> None:
    (copied / "deletions" / "d.bin").unlink()
    with pytest.raises(IndexMissing, match=r"d\.bin"):
        open_segment(copied)


def test_a_later_format_asks_for_an_upgrade(copied: Path) -> None:
    raw = b'{"format": 2}'
    (home(copied) / "segment.json").write_bytes(raw)
    entry, manifest = described(copied)
    entry = msgspec.structs.replace(entry, digest=hashlib.sha256(raw).hexdigest())
    with pytest.raises(IndexTooNew, match="Upgrade Farthing"):
        Segment.open(copied, entry, manifest)


def test_a_lexical_index_that_tantivy_cannot_read_is_refused(copied: Path) -> None:
    file = home(copied) / "lexical.json"
    file.write_bytes(b"?" * file.stat().st_size)
    with pytest.raises(IndexCorrupt, match=r"lexical\.json"):
        open_segment(copied, verify=False)


@pytest.mark.parametrize("name", ["vectors.npy", "groups.npy", "terms.npy", "norms.npy"])
def test_a_file_that_holds_no_array_is_refused(copied: Path, name: str) -> None:
    file = home(copied) / name
    file.write_bytes(b"?" * file.stat().st_size)
    with pytest.raises(IndexCorrupt, match=name):
        open_segment(copied, verify=False)


def test_a_temporary_folder_that_takes_nothing_is_named(
    intact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(intact / "absent"))
    with pytest.raises(SettingsError, match=r"absent cannot be written\. Set TMPDIR"):
        open_segment(intact)


SEARCH = """
import os, sys
from pathlib import Path
import msgspec
from farthing.search.manifest import IndexManifest
from farthing.search.segments import Segment
root = Path(sys.argv[1])
try:
    (root / "segments" / "touched").touch()
except OSError as error:
    print(error.strerror)
manifest = msgspec.json.decode((root / "manifest.json").read_bytes(), type=IndexManifest)
segment = Segment.open(root, manifest.segments[0], manifest)
print(sorted(Path(os.environ["TMPDIR"]).iterdir()))
print(segment.ids(segment.recall_words(["7"], 10)))
"""


def test_a_read_only_disk_is_searched_and_nothing_is_left_behind(
    copied: Path, tmp_path: Path
) -> None:
    before = sorted(copied.rglob("*"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    search = [sys.executable, "-c", SEARCH, str(copied)]
    if os.geteuid() == 0:
        if shutil.which("unshare") is None:
            pytest.skip("root needs unshare of util-linux to see a read-only disk")
        # Root writes whatever the modes say: only a read-only mount, seen by the child alone,
        # stops it.
        mount = 'mount --bind -o ro "$0" "$0" && exec "$@"'
        search = ["unshare", "--mount", "sh", "-c", mount, str(copied), *search]
    else:
        for path in (copied, *before):
            path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        search,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no read-only mount can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    refused, left, found = done.stdout.splitlines()
    assert refused in ("Read-only file system", "Permission denied")
    assert left == "[]"
    assert found == "['7']"
    assert sorted(copied.rglob("*")) == before
    assert not list(temporary.iterdir())
