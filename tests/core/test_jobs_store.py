"""Requests that wait: kept once, ended once, whoever writes at the same moment."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from farthing.errors import NameInvalid, StorageUnavailable
from farthing.serving.jobs.records import Finished, Queued, finished_name, new_id, waiting_name
from farthing.serving.jobs.store import JobStore, open_jobs

if TYPE_CHECKING:
    from pathlib import Path

RAW = msgspec.Raw(b'{"inputs":"a text"}')


def queued(job_id: str = "job_" + "0" * 32, **values: object) -> Queued:
    plain: dict[str, object] = {
        "id": job_id,
        "tenant": "acme",
        "plan": "",
        "task": "classify",
        "path": "/v1/classify",
        "model": "letters",
        "request": RAW,
        "digest": "d",
        "tokens": 4,
        "quote": {"total": "1"},
        "created_ms": 1000,
    }
    return Queued(**{**plain, **values})  # type: ignore[arg-type]


def ended(job: Queued, answer: str = "first") -> Finished:
    return Finished(job=job, status="succeeded", body={"a": answer, "charge": {}}, finished_ms=2000)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return open_jobs(str(tmp_path / "jobs"))


def test_what_is_put_waits_and_says_so_to_whoever_computes(store: JobStore) -> None:
    job = queued()
    assert store.put(job) == job
    assert store.news.is_set()
    assert store.find(job.id) == job
    assert [name for name in store.storage.names() if not name.startswith(".")] == [job.name]


def test_the_same_job_put_again_is_the_one_that_is_there(store: JobStore) -> None:
    first = queued()
    store.put(first)
    assert store.put(queued(created_ms=9000)) == first
    store.finish(ended(first))
    store.storage.delete(first.name)
    assert store.put(first) == ended(first)


def test_jobs_come_oldest_first_and_what_is_none_is_left_alone(store: JobStore) -> None:
    ids = [new_id("acme", str(number), "") for number in range(5)]
    for number, job_id in enumerate(ids):
        store.put(queued(job_id, created_ms=1000 - number))
    store.storage.write("in/job_broken.json", b"{")
    store.storage.write("in/job_other.json", b'{"id": 1}')
    assert [job.id for job in store.oldest()] == ids[::-1]
    assert "in/job_broken.json" in store.storage.names("in/")


def test_of_many_that_end_a_job_at_once_one_counts(store: JobStore) -> None:
    job = queued()
    store.put(job)
    came_to: list[Finished] = []

    def end(answer: str) -> None:
        came_to.append(store.finish(ended(job, answer)))

    threads = [threading.Thread(target=end, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({msgspec.json.encode(one) for one in came_to}) == 1


def test_a_job_that_was_cancelled_stays_so_and_keeps_no_text(store: JobStore) -> None:
    job = queued()
    store.put(job)
    assert store.cancel(job).status == "cancelled"
    assert store.finish(ended(job)).status == "cancelled"
    assert list(store.storage.names("in/")) == []
    assert b"a text" not in store.storage.read(finished_name(job.id))


def test_a_job_that_has_ended_is_not_cancelled(store: JobStore) -> None:
    job = queued()
    store.finish(ended(job))
    assert store.cancel(job) == ended(job)


def test_ids_follow_tenant_and_key_and_else_the_attempt() -> None:
    assert new_id("acme", "key", "1") == new_id("acme", "key", "2")
    assert new_id("acme", "", "1") == new_id("acme", "", "1")
    others = [("acme", "key", "1"), ("acme", "", "key"), ("acme", "", "1"), ("globex", "key", "1")]
    assert len({new_id(*one) for one in others}) == len(others)


@pytest.mark.parametrize("job_id", ["../../etc/passwd", "job_/../x", "", ".", "job_\n", "a b"])
def test_no_id_leads_out_of_the_storage(store: JobStore, job_id: str) -> None:
    assert job_id in {"", "."} or waiting_name(job_id) != job_id
    with pytest.raises(NameInvalid):
        store.waiting(f"{job_id}/../..")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageUnavailable):
        open_jobs(str(tmp_path / "file" / "jobs")).put(queued())
