"""Queued writes: safe once taken, applied in order of arrival, each exactly once."""

from __future__ import annotations

import shutil
import signal
import threading
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.errors import PublishConflict
from farthing.search.changes import Delete, Upsert
from farthing.search.errors import DocumentInvalid, IndexMissing
from farthing.search.publishing import publish, read_manifest
from farthing.search.writes import drain, submit
from farthing.storage import LocalStorage, open_storage
from tests.search.buckets import new_bucket, s3_running
from tests.search.test_publishing import run_killed
from tests.search.writing import HashEmbedder, empty_manifest, held, new_index, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest


def upsert(key: str, title: str) -> list[Any]:
    return [Upsert(record(key, title))]


def test_writes_are_applied_in_order_of_arrival(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    receipts = [submit(storage, upsert("a", f"shoe {number}")) for number in range(20)]
    receipts.append(submit(storage, [*upsert("b", "hat"), Delete("a"), *upsert("c", "cap")]))
    receipts.append(submit(storage, [Delete("c")]))
    assert receipts == sorted(receipts)
    done = drain(storage, tmp_path, HashEmbedder())
    assert held(storage, tmp_path) == {"b": ("hat", "")}
    assert (done.version, done.applied, done.refused, done.waiting) == (2, 24, [], 0)
    assert not list(storage.names("writes/"))
    assert drain(storage, tmp_path, HashEmbedder()).version == 2


def test_a_write_that_cannot_be_applied_is_refused_when_it_is_sent(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    with pytest.raises(DocumentInvalid, match="'price'"):
        submit(storage, [*upsert("a", "shoe"), Upsert(record("b", "hat", price="cheap"))])
    assert not list(storage.names("writes/"))
    with pytest.raises(IndexMissing):
        submit(LocalStorage(tmp_path / "none"), [Delete("a")])


def test_what_is_no_write_is_told_and_does_not_block_the_others(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    storage.write("writes/0000.json", b'[{"type": "drop", "table": "students"}]')
    storage.write("writes/0001.json", b"\xff\xfe")
    submit(storage, upsert("a", "shoe"))
    # Sent while the index still had the column.
    storage.write("writes/0002.json", msgspec.json.encode([Upsert({"sku": "b", "colour": "red"})]))
    done = drain(storage, tmp_path, HashEmbedder())
    assert done.applied == 1
    assert len(done.refused) == 3
    assert "students" not in "".join(done.refused)
    assert held(storage, tmp_path) == {"a": ("shoe", "")}
    assert not list(storage.names("writes/"))


def test_killed_at_any_step_a_drain_applies_each_write_once(tmp_path: Path) -> None:
    start = new_index(tmp_path / "start" / "index")
    submit(start, upsert("a", "first"))
    submit(start, upsert("b", "second"))
    shutil.copytree(tmp_path / "start", tmp_path / "whole")
    whole = run_killed(tmp_path / "whole", "drain", 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    # The last are: sync the published manifest's folder, delete a write, delete the other.
    for step in (steps // 2, steps - 3, steps - 1, steps):
        folder = tmp_path / f"killed-{step}"
        shutil.copytree(tmp_path / "start", folder)
        assert run_killed(folder, "drain", step).returncode == -signal.SIGKILL
        storage = LocalStorage(folder / "index")
        published = read_manifest(storage).version
        # A later change of one of them must not be undone by applying it again.
        submit(storage, upsert("a", "third"))
        done = drain(storage, tmp_path, HashEmbedder())
        assert done.applied == (1 if published == 2 else 3)
        assert published == 2 or step < steps - 1
        assert held(storage, tmp_path) == {"a": ("third", ""), "b": ("second", "")}
        assert not list(storage.names("writes/"))


def test_drainers_at_once_apply_each_write_once(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    applied = []

    def work(name: str) -> None:
        own = LocalStorage(tmp_path / "index")
        for number in range(4):
            submit(own, upsert(f"{name}{number}", "shoe"))
            done = drain(own, tmp_path / name, HashEmbedder())
            applied.append(done.applied)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(applied) == 8
    assert len(held(storage, tmp_path)) == 8
    assert not list(storage.names("writes/"))


class Interrupted(LocalStorage):
    """Lets others act right after it has listed the queue for the first time."""

    def __init__(self, folder: Path, others: Callable[[], None]) -> None:
        super().__init__(folder)
        self._others: Callable[[], None] | None = others

    def names(self, prefix: str = "") -> Iterator[str]:
        found = list(super().names(prefix))
        if prefix == "writes/" and self._others:
            others, self._others = self._others, None
            others()
        return iter(found)

    def read(self, name: str) -> bytes:
        try:
            return super().read(name)
        except IndexMissing:
            # As a bucket may answer a slow reader: the write, though it is deleted already.
            return msgspec.json.encode(upsert("a", "old")) if "writes/" in name else b""


def test_a_slow_drainer_does_not_bring_back_what_others_have_replaced(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    submit(storage, upsert("a", "old"))

    def others() -> None:
        drain(storage, tmp_path / "fast", HashEmbedder())
        for title in ("newer", "newest"):
            submit(storage, upsert("a", title))
            drain(storage, tmp_path / "fast", HashEmbedder())
        # By now no manifest remembers the first write's receipt.
        assert len(read_manifest(storage).applied) == 1

    slow = Interrupted(tmp_path / "index", others)
    assert drain(slow, tmp_path / "slow", HashEmbedder()).applied == 0
    assert held(storage, tmp_path) == {"a": ("newest", "")}


def test_many_small_writes_are_compacted_on_the_way(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    for number in range(7):
        submit(storage, upsert(str(number), f"shoe {number}"))
        drain(storage, tmp_path, HashEmbedder())
    assert len(read_manifest(storage).segments) < 5
    assert len(held(storage, tmp_path)) == 7


def test_a_failed_publish_keeps_every_write(tmp_path: Path) -> None:
    storage = new_index(tmp_path / "index")
    submit(storage, upsert("a", "shoe"))

    class Unlucky(LocalStorage):
        def write(self, name: str, content: Any, **expect: Any) -> str:
            if name == "manifest.json":
                raise PublishConflict("Another writer was first.")
            return super().write(name, content, **expect)

    with pytest.raises(PublishConflict):
        drain(Unlucky(tmp_path / "index"), tmp_path, HashEmbedder())
    assert drain(storage, tmp_path, HashEmbedder()).applied == 1
    assert held(storage, tmp_path) == {"a": ("shoe", "")}


def test_an_index_in_a_bucket_takes_writes_too(tmp_path: Path) -> None:
    with s3_running() as endpoint:
        storage = open_storage(new_bucket(endpoint))

        def first(current: IndexManifest | None) -> IndexManifest:
            return current or empty_manifest(f"shop-{uuid.uuid4().hex[:8]}")

        publish(storage, first)
        for title in ("red shoe", "blue shoe"):
            submit(storage, [*upsert("a", title), *upsert("b", title)])
            drain(storage, tmp_path / "one", HashEmbedder())
        submit(storage, [Delete("b")])
        # Another machine, which has no copy of anything yet.
        done = drain(storage, tmp_path / "two", HashEmbedder())
        assert (done.version, done.applied) == (4, 1)
        assert held(storage, tmp_path / "three") == {"a": ("blue shoe", "")}
        assert not list(storage.names("writes/"))
