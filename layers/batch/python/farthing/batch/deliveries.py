"""Webhooks that are still to be called, kept beside the jobs so that no restart forgets one."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from farthing.errors import FileMissing, PublishConflict
from farthing.serving.jobs.records import HOOKS, hook_name
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.batch.webhooks import Webhooks
    from farthing.serving.jobs.records import Finished
    from farthing.serving.jobs.store import JobStore

# Between the first five calls of a webhook, which fall within a quarter of an hour.
PAUSES_S: Final = (5, 30, 120, 600)
# While a call is under way nobody else makes it.
CALLING_S: Final = 60
MS_PER_S: Final = 1000
# The receiver wants no more of this webhook: RFC 9110, section 15.5.11.
GONE: Final = 410

log = logging.getLogger("farthing")


class Hook(msgspec.Struct, frozen=True):
    """A webhook of a job that has ended: how often it was called, and when it is called next."""

    job: str
    calls: Annotated[int, msgspec.Meta(ge=0)] = 0
    due_ms: Annotated[int, msgspec.Meta(ge=0)] = 0


class Deliveries:
    """Calls each job's webhook at least once, and again after each of `pauses_s` while it fails.

    A webhook is told what became of the job and what it costs; the answer is for the tenant's key
    to fetch. That a webhook fails is nothing to its job. A receiver knows a call that comes again
    by its webhook-id.
    """

    def __init__(
        self,
        store: JobStore,
        webhooks: Webhooks,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // NS_PER_MS,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._pauses_s = pauses_s
        self._clock_ms = clock_ms

    def add(self, ended: Finished) -> None:
        """The job's webhook is due from now on."""
        try:
            self._write(Hook(ended.job.id), None)
        except PublishConflict:
            return

    def deliver_due(self, stop: Callable[[], bool] = lambda: False) -> int:
        """How many webhooks took what they were told."""
        delivered = 0
        for job_id in list(self._store.ids(HOOKS)):
            if stop():
                break
            try:
                delivered += self._deliver(job_id)
            except msgspec.DecodeError:
                log.error("%s is not of this version and is left alone", hook_name(job_id))
        return delivered

    def _deliver(self, job_id: str) -> bool:
        name = hook_name(job_id)
        etag = self._store.storage.etag(name)
        ended = self._store.finished(job_id)
        if etag is None or ended is None:
            return False
        try:
            hook = msgspec.json.decode(self._store.storage.read(name), type=Hook)
            if hook.due_ms > self._clock_ms():
                return False
            # Claimed before it is called: of two workers one makes the call.
            calls = hook.calls + 1
            etag = self._write(Hook(job_id, calls, self._in_ms(CALLING_S)), etag)
        except (FileMissing, PublishConflict):
            return False
        status = self._webhooks.call(ended.job.webhook, f"msg_{job_id}", message_of(ended))
        if 200 <= status < 300 or status == GONE or calls > len(self._pauses_s):
            if not 200 <= status < 300:
                log.warning("job %s: its webhook failed %d times and is given up", job_id, calls)
            self._store.storage.delete(name)
            return 200 <= status < 300
        try:
            self._write(Hook(job_id, calls, self._in_ms(self._pauses_s[calls - 1])), etag)
        except PublishConflict:
            # It took longer than anybody waits, and another calls it now.
            return False
        return False

    def _write(self, hook: Hook, expect: str | None) -> str:
        content = msgspec.json.encode(hook)
        return self._store.storage.write(hook_name(hook.job), content, expect=expect)

    def _in_ms(self, seconds: float) -> int:
        return self._clock_ms() + int(seconds * MS_PER_S)


def message_of(ended: Finished) -> bytes:
    """What a webhook is told: `{"type": "job.succeeded", "timestamp", "data": the job}`."""
    at = dt.datetime.fromtimestamp(ended.finished_ms // MS_PER_S, tz=dt.UTC)
    return msgspec.json.encode(
        {"type": f"job.{ended.status}", "timestamp": at.isoformat(), "data": ended.facts()}
    )
