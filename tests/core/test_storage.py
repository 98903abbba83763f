"""A folder as storage: whole files, compared before they are replaced, by killed processes too."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import (
    FileMissing,
    NameInvalid,
    PublishConflict,
    SettingsError,
    StorageUnavailable,
)
from farthing.storage import LocalStorage, checked_name, local_folder, open_storage
from tests.test_architecture import modules_after

if TYPE_CHECKING:
    from pathlib import Path

RUN_S_MAX = 300
COUNTER = """
import sys
from pathlib import Path
from farthing.errors import PublishConflict
from farthing.storage import LocalStorage
storage = LocalStorage(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    while True:
        etag = storage.etag("count")
        count = int(storage.read("count"))
        try:
            storage.write("count", str(count + 1).encode(), expect=etag)
            break
        except PublishConflict:
            pass
"""
WRITER = """
import sys
from pathlib import Path
from farthing.storage import LocalStorage
storage = LocalStorage(Path(sys.argv[1]))
while True:
    for letter in b"ab":
        storage.write("big", bytes([letter]) * 3_000_000)
"""


def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "new")
    etag = storage.write("segments/s1/words.bin", b"words")
    assert storage.read("segments/s1/words.bin") == b"words"
    assert etag == storage.etag("segments/s1/words.bin") == hashlib.sha256(b"words").hexdigest()
    source = tmp_path / "source"
    source.write_bytes(b"x" * 2_500_000)
    storage.write("manifest.json", source)
    assert b"".join(storage.stream("manifest.json", 2_499_990)) == b"x" * 10
    assert list(storage.names()) == ["manifest.json", "segments/s1/words.bin"]
    assert list(storage.names("segments/s1/")) == ["segments/s1/words.bin"]
    storage.fetch("manifest.json", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").stat().st_size == 2_500_000
    storage.delete("segments/s1/words.bin")
    storage.delete("segments/s1/words.bin")
    assert storage.etag("segments/s1/words.bin") is None
    assert not (tmp_path / "new" / "segments").exists()


@pytest.mark.parametrize("ask", ["read", "fetch", "stream"])
def test_what_is_not_there_is_named(tmp_path: Path, ask: str) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(FileMissing, match="manifest"):
        match ask:
            case "read":
                storage.read("manifest.json")
            case "fetch":
                storage.fetch("manifest.json", tmp_path / "copy")
            case _:
                next(storage.stream("manifest.json"))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_expects_something_else_changes_nothing(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    first = storage.write("manifest.json", b"1", expect=None)
    with pytest.raises(PublishConflict, match="another writer was first"):
        storage.write("manifest.json", b"2", expect=None)
    second = storage.write("manifest.json", b"2", expect=first)
    with pytest.raises(PublishConflict):
        storage.write("manifest.json", b"3", expect=first)
    assert (storage.read("manifest.json"), storage.etag("manifest.json")) == (b"2", second)
    assert list(storage.names()) == ["manifest.json"]
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", ".lock"}


def test_processes_that_count_together_lose_no_count(tmp_path: Path) -> None:
    LocalStorage(tmp_path).write("count", b"0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path), "25"]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(RUN_S_MAX) for process in processes] == [0] * 4
    assert LocalStorage(tmp_path).read("count") == b"100"


def test_a_killed_writer_leaves_a_whole_file_and_no_lock(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for wait_s in (0.0, 0.01, 0.05):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        while storage.etag("big") is None:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.wait(RUN_S_MAX)
        found = storage.read("big")
        assert len(found) == 3_000_000
        assert len(set(found)) == 1
        storage.write("big", b"c" * 3_000_000, expect=storage.etag("big"))
        assert list(storage.names()) == ["big"]
    for left in tmp_path.glob(".big.staged-*"):
        os.utime(left, (0, 0))
    storage.write("big", b"d")
    assert not list(tmp_path.glob(".big.staged-*"))


@given(st.text("abc./\\_-é\0", max_size=12))
def test_a_name_never_leaves_the_folder(name: str) -> None:
    inside = bool(name) and not any(
        not part or part.startswith((".", "-")) or set(part) & set("\\é\0")
        for part in name.split("/")
    )
    if inside:
        assert checked_name(name) == name
    else:
        with pytest.raises(NameInvalid, match="by a name that is none"):
            checked_name(name)


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable, match="cannot be written"):
        LocalStorage(tmp_path / "file").write("manifest.json", b"1")
    with pytest.raises(StorageUnavailable, match="source cannot be read"):
        LocalStorage(tmp_path).write("manifest.json", tmp_path / "source")


def test_an_address_is_a_folder_or_a_bucket(tmp_path: Path) -> None:
    assert local_folder(str(tmp_path)) == tmp_path
    assert local_folder(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert local_folder("s3://bucket/shop") is None
    assert open_storage(str(tmp_path)).url == str(tmp_path)
    with pytest.raises(SettingsError, match="gopher://"):
        open_storage("gopher://bucket")


def test_a_folder_is_read_without_any_network_client() -> None:
    loaded = modules_after("import farthing.storage")
    assert not loaded & {"ssl", "_ssl", "http", "boto3", "urllib3"}
