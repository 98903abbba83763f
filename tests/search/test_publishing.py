"""A version replaces the one before it in one step, whoever dies or writes meanwhile."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from farthing.errors import PublishConflict
from farthing.search import publishing
from farthing.search.changes import Delete, Upsert
from farthing.search.errors import IndexCorrupt
from farthing.search.publishing import garbage_collect, publish, read_manifest, spare, versions
from farthing.search.updates import apply
from farthing.search.verification import verify
from farthing.storage import LocalStorage
from tests.search.writing import HashEmbedder, empty_manifest, held, new_index, record

if TYPE_CHECKING:
    from farthing.search.manifest import IndexManifest

ROOT = Path(__file__).parent.parent.parent


def renamed(name: str, current: IndexManifest | None) -> IndexManifest:
    assert current is not None
    return msgspec.structs.replace(current, origin=f"{current.origin}{name}")


def test_versions_follow_each_other_and_stay_readable(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for name in "xy":
        publish(storage, lambda current, name=name: renamed(name, current))
    assert [(each.version, each.origin) for each in versions(storage)] == [
        (1, ""),
        (2, "x"),
        (3, "xy"),
    ]


def test_a_change_that_changes_nothing_publishes_nothing(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    etag = storage.etag("manifest.json")
    publish(storage, lambda current: current or empty_manifest())
    assert storage.etag("manifest.json") == etag


def test_no_change_of_several_writers_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = new_index(tmp_path / "index")
    # One more than the others publish together: nobody can be second so often, and give up.
    monkeypatch.setattr(publishing, "TRIES_MAX", 11)

    def write(name: str) -> None:
        for _ in range(5):
            publish(LocalStorage(tmp_path / "index"), lambda current: renamed(name, current))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = read_manifest(storage)
    assert sorted(index.origin) == sorted("abc" * 5)
    assert index.version == 16


def test_a_writer_that_is_always_second_is_told(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")

    def outrun(current: IndexManifest | None) -> IndexManifest:
        publish(storage, lambda current: renamed("first", current))
        return renamed("second", current)

    with pytest.raises(PublishConflict, match="other writers published first"):
        publish(storage, outrun)
    assert "second" not in read_manifest(storage).origin


def run_killed(folder: Path, action: str, step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.search.killed", str(folder), action, str(step)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("action", ["apply", "compact"])
def test_a_writer_killed_at_any_step_leaves_the_old_version_or_the_new(
    tmp_path: Path, action: str
) -> None:
    start = new_index(tmp_path / "start" / "index")
    for keys in ("ab", "cd"):
        shoes = [Upsert(record(key, f"shoe {key}")) for key in keys]
        apply(start, tmp_path, HashEmbedder(), shoes)
    old = held(start, tmp_path)
    shutil.copytree(tmp_path / "start", tmp_path / "whole")
    whole = run_killed(tmp_path / "whole", action, 0)
    assert whole.returncode == 0, whole.stderr
    new = held(LocalStorage(tmp_path / "whole" / "index"), tmp_path)
    assert (new == old) == (action == "compact")

    steps = int(whole.stdout)
    some = random.Random(action).sample(range(2, steps), 3)
    for step in sorted({1, *some, steps}):
        folder = tmp_path / f"killed-{step}"
        shutil.copytree(tmp_path / "start", folder)
        assert run_killed(folder, action, step).returncode == -signal.SIGKILL
        storage = LocalStorage(folder / "index")
        found = held(storage, tmp_path)
        assert found in (old, new)
        assert not verify(storage).problems
        # The next writer goes on, and nothing stays of the one that was killed.
        apply(storage, tmp_path, HashEmbedder(), [Upsert(record("next", "hat")), Delete("b")])
        garbage_collect(storage, keep_versions=0, grace_s=0)
        expected = {key: texts for key, texts in found.items() if key != "b"}
        assert held(storage, tmp_path) == {**expected, "next": ("hat", "")}
        index = read_manifest(storage)
        named = {entry.id for entry in index.segments}
        assert {name.split("/")[1] for name in storage.names("segments/")} == named
        bits = {entry.deletions for entry in index.segments if entry.deletions}
        assert {name.split("/")[1] for name in storage.names("deletions/")} == bits
        assert not verify(storage).problems


def test_files_of_recent_versions_stay_for_their_readers(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for title in ("red shoe", "blue shoe", "green shoe"):
        apply(storage, tmp_path, HashEmbedder(), [Upsert(record("a", title))])
    before = set(storage.names())
    assert garbage_collect(storage, keep_versions=0) == []
    assert set(storage.names()) == before
    removed = garbage_collect(storage, keep_versions=1, grace_s=0)
    assert {name.split("/")[0] for name in removed} == {"segments", "versions"}
    kept = list(versions(storage))
    assert [each.version for each in kept] == [3, 4]
    for each in kept:
        for entry in each.segments:
            assert any(storage.names(f"segments/{entry.id}/"))


def test_a_file_is_not_removed_when_it_is_first_seen_unneeded(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    storage.write("segments/another-writer-s/segment.json", b"{}")
    assert garbage_collect(storage) == []
    known = msgspec.json.decode(storage.read("garbage.json"))
    assert list(known) == ["segments/another-writer-s/segment.json"]
    spare(storage, "segments/another-writer-s/")
    assert msgspec.json.decode(storage.read("garbage.json")) == {}
    assert garbage_collect(storage, grace_s=0) == ["segments/another-writer-s/segment.json"]
    assert "garbage.json" not in set(storage.names())


def test_what_is_not_the_index_s_is_never_removed(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for name in ("writes/1.json", "archive/1.json", "README.md"):
        storage.write(name, b"{}")
    assert garbage_collect(storage, keep_versions=0, grace_s=0) == []


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    (tmp_path / "index" / "manifest.json").write_bytes(b"{")
    with pytest.raises(IndexCorrupt, match=r"manifest\.json"):
        publish(storage, lambda current: current or empty_manifest())


def test_verification_names_every_file_that_is_not_as_stated(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    apply(storage, tmp_path, HashEmbedder(), [Upsert(record(key, "shoe")) for key in "ab"])
    apply(storage, tmp_path, HashEmbedder(), [Delete("a")])
    assert not verify(storage).problems
    (entry,) = read_manifest(storage).segments
    home = tmp_path / "index" / "segments" / entry.id
    changed = bytearray((home / "norms.npy").read_bytes())
    changed[-1] ^= 1
    (home / "norms.npy").write_bytes(changed)
    (home / "vectors.npy").unlink()
    (tmp_path / "index" / "deletions" / str(entry.deletions)).write_bytes(b"\0")
    problems = " ".join(verify(storage).problems)
    assert len(verify(storage).problems) == 3
    for name in ("norms.npy", "vectors.npy", str(entry.deletions)):
        assert name in problems
