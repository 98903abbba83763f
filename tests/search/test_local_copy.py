"""A copy of an index from a bucket: whole, checked, downloaded once, taken up where it broke."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from farthing.errors import FileMissing, StorageUnavailable
from farthing.search import local_copy
from farthing.search.errors import IndexCorrupt
from farthing.search.local_copy import materialise, refresh
from farthing.storage import LocalStorage, open_storage
from tests.search.buckets import new_bucket, s3_running
from tests.search.packed import put_deletions, put_segment, put_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest

COPIER = """
import sys
from pathlib import Path
from farthing.search.local_copy import materialise
print(materialise(sys.argv[1], Path(sys.argv[2])))
"""

STUCK_COPIER = """
import sys
from pathlib import Path
from tests.search.test_local_copy import Stuck, refresh
refresh(Stuck(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_running() as address:
        yield address


@pytest.fixture
def address(endpoint: str) -> str:
    return new_bucket(endpoint)


class Counting(LocalStorage):
    """Counts the bytes of each file that is read from it; slow where it should be."""

    def __init__(self, folder: Path, pause_s: float = 0.0) -> None:
        super().__init__(folder)
        self.read_bytes: Counter[str] = Counter()
        self.pause_s = pause_s

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        for chunk in super().stream(name, start):
            for position in range(0, len(chunk), 50_000):
                piece = chunk[position : position + 50_000]
                self.read_bytes[name] += len(piece)
                time.sleep(self.pause_s)
                yield piece

    def read(self, name: str) -> bytes:
        return b"".join(self.stream(name))


class Stuck(Counting):
    """Gives the beginning of each file's vectors, and then waits for ever."""

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        for piece in super().stream(name, start):
            yield piece
            if name.endswith("vectors.bin") and self.read_bytes[name] >= 100_000:
                threading.Event().wait()


def same(folder: Path, storage: LocalStorage, manifest: IndexManifest, tier: str = "hot") -> bool:
    """Whether the copy has each file of the version that it should have, byte for byte."""
    names = [
        name
        for entry in manifest.segments
        if entry.tier == tier
        for name in storage.names(f"segments/{entry.id}/")
    ]
    names += [f"deletions/{entry.deletions}" for entry in manifest.segments if entry.deletions]
    names += [f"ranking/{manifest.ranking.file}"] if manifest.ranking else []
    names.append("manifest.json")
    return all((folder / name).read_bytes() == storage.read(name) for name in names)


def test_a_folder_is_its_own_copy(tmp_path: Path) -> None:
    assert materialise(str(tmp_path), tmp_path / "cache") == tmp_path
    assert materialise(f"file://{tmp_path}", tmp_path / "cache") == tmp_path
    assert not (tmp_path / "cache").exists()


def test_hot_segments_come_from_a_bucket_and_cold_ones_stay(address: str, tmp_path: Path) -> None:
    storage = open_storage(address)
    hot = put_deletions(storage, put_segment(storage, "s1"), b"\1")
    cold = put_segment(storage, "s2", "cold")
    manifest = put_version(storage, 1, hot, cold, ranking=b"{}")
    folder = materialise(address, tmp_path)
    assert same(folder, storage, manifest)  # type: ignore[arg-type]
    assert not (folder / "segments" / "s2").exists()
    assert folder.parent == tmp_path
    assert materialise(address, tmp_path, tiers=("hot", "cold")) == folder
    assert same(folder, storage, manifest, "cold")  # type: ignore[arg-type]


def test_a_version_brings_only_what_is_new_and_clears_what_two_do_not_need(tmp_path: Path) -> None:
    storage, folder = Counting(tmp_path / "remote"), tmp_path / "copy"
    first, second, third = (put_segment(storage, f"s{number}") for number in (1, 2, 3))
    put_version(storage, 1, first, second, ranking=b"{1}")
    refresh(storage, folder)
    storage.read_bytes.clear()
    refresh(storage, folder)
    assert set(storage.read_bytes) == {"manifest.json"}
    manifest = put_version(storage, 2, second, third, ranking=b"{2}")
    refresh(storage, folder)
    assert {name.split("/")[1] for name in storage.read_bytes if "segments" in name} == {"s3"}
    assert same(folder, storage, manifest)
    assert {path.name for path in (folder / "segments").iterdir()} == {"s1", "s2", "s3"}
    put_version(storage, 3, third)
    refresh(storage, folder)
    assert {path.name for path in (folder / "segments").iterdir()} == {"s2", "s3"}
    assert len(list((folder / "ranking").iterdir())) == 1


@pytest.mark.parametrize("how", ["changed", "cut", "longer"])
def test_a_file_that_is_not_the_manifest_s_is_refused_by_name(tmp_path: Path, how: str) -> None:
    storage = LocalStorage(tmp_path / "remote")
    put_version(storage, 1, put_segment(storage, "s1"))
    content = storage.read("segments/s1/words.bin")
    wrong = {"changed": b"x" + content[1:], "cut": content[:-1], "longer": content + b"x"}[how]
    storage.write("segments/s1/words.bin", wrong)
    with pytest.raises(IndexCorrupt, match=r"segments/s1/words\.bin is not the file of 120000"):
        refresh(storage, tmp_path / "copy")
    assert not (tmp_path / "copy" / "segments" / "s1" / "words.bin").exists()
    assert not (tmp_path / "copy" / "manifest.json").exists()
    storage.write("segments/s1/words.bin", content)
    refresh(storage, tmp_path / "copy")


def test_an_account_that_is_not_the_manifest_s_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "remote")
    put_version(storage, 1, put_segment(storage, "s1"))
    storage.write("segments/s1/segment.json", storage.read("segments/s1/segment.json") + b" ")
    with pytest.raises(IndexCorrupt, match=r"segments/s1/segment\.json"):
        refresh(storage, tmp_path / "copy")


def test_a_killed_download_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    storage = Counting(tmp_path / "remote")
    manifest = put_version(storage, 1, put_segment(storage, "s1"))
    folders = [str(tmp_path / "remote"), str(tmp_path / "copy")]
    process = subprocess.Popen([sys.executable, "-c", STUCK_COPIER, *folders])
    part = tmp_path / "copy" / "segments" / "s1" / ".vectors.bin.part"
    while not part.exists() or part.stat().st_size < 50_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    came = part.stat().st_size
    storage.read_bytes.clear()
    refresh(storage, tmp_path / "copy")
    assert storage.read_bytes["segments/s1/vectors.bin"] <= 300_000 - came
    assert same(tmp_path / "copy", storage, manifest)
    assert not part.exists()


def test_what_a_broken_download_left_of_another_file_is_brought_anew(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "remote")
    manifest = put_version(storage, 1, put_segment(storage, "s1"))
    part = tmp_path / "copy" / "segments" / "s1" / ".vectors.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file")
    refresh(storage, tmp_path / "copy")
    assert same(tmp_path / "copy", storage, manifest)


def test_processes_that_ask_together_download_once(address: str, tmp_path: Path) -> None:
    storage = open_storage(address)
    manifest = put_version(storage, 1, *(put_segment(storage, f"s{i}") for i in range(3)))
    command = [sys.executable, "-c", COPIER, address, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    folders = {process.communicate(timeout=300)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert len(folders) == 1
    assert same(tmp_path / folders.pop(), storage, manifest)  # type: ignore[arg-type]


def test_threads_that_ask_together_download_once(tmp_path: Path) -> None:
    storage = Counting(tmp_path / "remote", 0.001)
    put_version(storage, 1, put_segment(storage, "s1"))
    threads = [
        threading.Thread(target=refresh, args=(storage, tmp_path / "copy")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.read_bytes["segments/s1/vectors.bin"] == 300_000


def test_a_version_that_is_cleared_away_meanwhile_is_followed(tmp_path: Path) -> None:
    class Moving(LocalStorage):
        """Publishes the next version, and clears the one before away, once that is read."""

        def read(self, name: str) -> bytes:
            content = super().read(name)
            if name == "manifest.json" and next_version:
                old, new = next_version.pop()
                put_version(LocalStorage(self.folder), 2, new)
                for file in list(self.names(f"segments/{old.id}/")):
                    self.delete(file)
            return content

    storage = Moving(tmp_path / "remote")
    first, second = put_segment(storage, "s1"), put_segment(storage, "s2")
    next_version = [(first, second)]
    put_version(storage, 1, first)
    refresh(storage, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy" / "segments").iterdir()} == {"s2"}


def test_a_file_that_is_lost_is_named(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "remote")
    with pytest.raises(FileMissing, match=r"manifest\.json is not there"):
        refresh(storage, tmp_path / "copy")
    put_version(storage, 1, put_segment(storage, "s1"))
    storage.delete("segments/s1/words.bin")
    with pytest.raises(FileMissing, match=r"segments/s1/words\.bin"):
        refresh(storage, tmp_path / "copy")


def test_a_disk_too_small_is_told_before_anything_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path / "remote")
    put_version(storage, 1, put_segment(storage, "s1"))
    monkeypatch.setattr(local_copy, "FREE_BYTES_MIN", 10**18)
    with pytest.raises(StorageUnavailable, match="Give the function a larger disk"):
        refresh(storage, tmp_path / "copy")
    assert not (tmp_path / "copy" / "segments" / "s1" / "words.bin").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="NO /dev/full")  # noqa: PTH110
def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "remote")
    put_version(storage, 1, put_segment(storage, "s1"))
    part = tmp_path / "copy" / "segments" / "s1" / ".words.bin.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(StorageUnavailable, match="No space left"):
        refresh(storage, tmp_path / "copy")
