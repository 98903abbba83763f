"""Files and batches are kept below their tenant's name, and changed by one at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import pytest

from farthing.errors import FileMissing, InvalidRequest
from farthing.serving.batches.errors import UnknownObject
from farthing.serving.batches.objects import (
    Batch,
    RequestCounts,
    Ticket,
    new_batch_id,
    new_file_id,
    result_file_id,
)
from farthing.serving.batches.paging import Page, page_of, read_page
from farthing.serving.batches.store import BatchStore
from farthing.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> BatchStore:
    return BatchStore(open_storage(str(tmp_path)))


def a_batch() -> Batch:
    return Batch(
        id=new_batch_id(),
        endpoint="/v1/embeddings",
        input_file_id=new_file_id(),
        created_at=1,
        expires_at=2,
    )


def test_a_file_is_its_own_tenants_only(store: BatchStore) -> None:
    file = store.add_file("acme", b"{}\n", filename="a.jsonl", purpose="batch")
    assert store.file("acme", file.id) == file
    assert b"".join(store.lines("acme", file.id)) == b"{}\n"
    assert store.files("acme") == [file.id]
    for other in ("acm", "acme2", "bolt"):
        assert store.files(other) == []
        with pytest.raises(UnknownObject):
            store.file(other, file.id)
        with pytest.raises(UnknownObject):
            store.remove_file(other, file.id)
    store.remove_file("acme", file.id)
    with pytest.raises(FileMissing):
        next(store.lines("acme", file.id))
    assert store.files("acme") == []


@pytest.mark.parametrize(
    "name",
    ["", "file-", "../file-" + "0" * 44, "file-" + "0" * 43, "file-" + "0" * 44 + ".json",
     "file-" + "0" * 44 + "\n", "file-" + "A" * 44, "batch_" + "0" * 44],
)  # fmt: skip
def test_what_is_no_id_names_nothing(store: BatchStore, name: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        store.file("acme", name)
    assert len(name) < 10 or name not in raised.value.detail


def test_ids_come_in_the_order_in_which_they_were_made_and_cannot_be_guessed() -> None:
    ids = []
    for _ in range(5):
        ids.append(new_batch_id())
        time.sleep(0.002)
    assert sorted(ids) == ids
    assert len({one[18:] for one in ids}) == 5


def test_a_batchs_own_files_have_ids_that_follow_from_its_own() -> None:
    one, other = new_batch_id(), new_batch_id()
    assert result_file_id(one, "output") == result_file_id(one, "output")
    assert len({result_file_id(b, kind) for b in (one, other) for kind in ("output", "error")}) == 4


def test_a_batchs_own_file_that_is_written_twice_is_the_first(store: BatchStore) -> None:
    file_id = new_file_id()
    for content in (b"first", b"second"):
        store.add_file("a", content, filename="o", purpose="batch_output", file_id=file_id)
    assert b"".join(store.lines("a", file_id)) == b"first"
    assert store.file("a", file_id).bytes == 5


def test_no_change_is_lost_among_many_at_once(store: BatchStore) -> None:
    batch = a_batch()
    store.add_batch(batch, Ticket(batch=batch.id, tenant="acme", plan=""))

    def one_more(batch: Batch) -> Batch:
        total = batch.request_counts.total + 1
        return msgspec.structs.replace(batch, request_counts=RequestCounts(total=total))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.change("acme", batch.id, one_more), range(40)))
    assert store.batch("acme", batch.id).request_counts.total == 40


def test_a_batch_is_pending_until_it_is_put_away(store: BatchStore) -> None:
    batches = [a_batch() for _ in range(2)]
    for batch in batches:
        store.add_batch(batch, Ticket(batch=batch.id, tenant="in", plan="p"))
    assert sorted(store.pending()) == sorted(batch.id for batch in batches)
    store.settle(batches[0].id)
    assert store.pending() == [batches[1].id]
    assert store.ticket(batches[0].id) is None
    ticket = store.ticket(batches[1].id)
    assert ticket is not None and (ticket.tenant, ticket.plan) == ("in", "p")
    assert sorted(store.batches("in")) == sorted(batch.id for batch in batches)


def test_pages_follow_each_other_without_gap_or_repetition() -> None:
    batches = {f"b{i}": a_batch() for i in range(7)}
    ids, after, seen = list(batches), "", []
    for _ in range(4):
        listed = page_of(ids, Page(limit=2, after=after), lambda one: batches[one])
        seen += [listed["first_id"], listed["last_id"]]
        after = str(listed["last_id"])
        assert listed["has_more"] is (after != "b0")
    assert seen == ["b6", "b5", "b4", "b3", "b2", "b1", "b0", "b0"]
    assert page_of([], Page(), batches.__getitem__)["first_id"] is None
    with pytest.raises(InvalidRequest):
        page_of(ids, Page(after="b9"), batches.__getitem__)


def test_what_was_deleted_since_it_was_listed_is_left_out() -> None:
    batch = a_batch()

    def read(name: str) -> Batch | None:
        if name == "gone":
            raise UnknownObject("gone")
        return None if name == "other" else batch

    listed = page_of(["one", "other", "gone"], Page(limit=1), read)
    assert (listed["last_id"], listed["has_more"]) == ("one", False)


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"limit": "10001"}, {"order": "up"},
     {"page": "2"}],
)  # fmt: skip
def test_a_list_takes_what_it_takes(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        read_page(query, ("limit", "order"))


def test_a_page_is_never_longer_than_a_hundred() -> None:
    assert read_page({"limit": "10000"}, ("limit",)).limit == 100
    assert read_page({}, ("limit",)).limit == 20
