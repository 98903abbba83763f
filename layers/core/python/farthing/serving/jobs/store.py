"""The place where requests wait, and what may be done with them there."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from farthing.errors import FileMissing, PublishConflict
from farthing.serving.jobs import records
from farthing.serving.jobs.records import Finished, Queued
from farthing.storage import open_storage
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.storage import Storage

log = logging.getLogger("farthing")


class JobStore:
    """Jobs in a folder or a bucket; safe from several threads and processes at once.

    `news` is set whenever this process puts something there to be computed. All methods may raise
    `StorageUnavailable`.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.news = threading.Event()

    def put(self, job: Queued) -> Queued | Finished:
        """The job, waiting from now on, or what there is already under its id."""
        found = self.finished(job.id)
        if found is not None:
            return found
        try:
            self.storage.write(job.name, msgspec.json.encode(job), expect=None)
        except PublishConflict:
            # Gone again, it has ended in the meantime.
            return self.waiting(job.id) or self.finished(job.id) or job
        self.news.set()
        return job

    def find(self, job_id: str) -> Queued | Finished | None:
        """The job, wherever it is."""
        # What has ended may lie in both places for a moment, and is asked for twice because a job
        # that ends between the two questions is in neither.
        return self.finished(job_id) or self.waiting(job_id) or self.finished(job_id)

    def waiting(self, job_id: str) -> Queued | None:
        content = self._read(records.waiting_name(job_id))
        return None if content is None else msgspec.json.decode(content, type=Queued)

    def finished(self, job_id: str) -> Finished | None:
        content = self._read(records.finished_name(job_id))
        return None if content is None else msgspec.json.decode(content, type=Finished)

    def finish(self, result: Finished) -> Finished:
        """What counts as the job's end: this, or what another came to first."""
        name = records.finished_name(result.job.id)
        try:
            self.storage.write(name, msgspec.json.encode(result), expect=None)
        except PublishConflict:
            return self.finished(result.job.id) or result
        return result

    def cancel(self, job: Queued) -> Finished:
        """The job's end: cancelled, unless it had ended before."""
        now_ms = time.time_ns() // NS_PER_MS
        ended = self.finish(
            Finished(job=without_request(job), status="cancelled", finished_ms=now_ms)
        )
        if ended.status == "cancelled":
            self.storage.delete(job.name)
        return ended

    def oldest(self) -> list[Queued]:
        """All that waits, in the order in which it came, without the requests themselves.

        What cannot be read is left alone.
        """
        found = (self._readable(name) for name in self.storage.names(records.WAITING))
        waiting = (without_request(job) for job in found if job is not None)
        return sorted(waiting, key=lambda job: (job.created_ms, job.id))

    def ids(self, prefix: str) -> Iterator[str]:
        """The ids of what lies below `prefix`."""
        for name in self.storage.names(prefix):
            yield name.removeprefix(prefix).removesuffix(".json")

    def _readable(self, name: str) -> Queued | None:
        try:
            content = self._read(name)
            return None if content is None else msgspec.json.decode(content, type=Queued)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.error("%s is no job of this version and is left alone", name)
            return None

    def _read(self, name: str) -> bytes | None:
        try:
            return self.storage.read(name)
        except FileMissing:
            return None


def open_jobs(address: str) -> JobStore:
    """The jobs kept at the address. Raises `SettingsError` for what is no address of a storage."""
    return JobStore(open_storage(address))


def without_request(job: Queued) -> Queued:
    """The job without its texts, which are not kept once it has ended."""
    return msgspec.structs.replace(job, request=msgspec.Raw(b"null"))
