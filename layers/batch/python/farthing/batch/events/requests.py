"""Requests that wait at FARTHING_JOBS, computed when their storage tells that they came, or later.

    in/ID.json            a request of low priority
    batches/in/ID.json    a batch of OpenAI's kind

What else lies there is told of too, and is nothing to do. A clock's call makes up for what storages
did not tell, and calls the webhooks that failed before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from farthing.batch.openai import BatchFileRunner
from farthing.batch.requests import RequestWorker, deliveries_of
from farthing.serving.batches.store import TICKETS
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.jobs.records import MS_PER_S, WAITING
from farthing.serving.jobs.store import open_jobs
from farthing.serving.registry import FUNCTIONS
from farthing.serving.service import Service

if TYPE_CHECKING:
    from farthing.batch.events.calls import Call
    from farthing.settings import Settings

# A clock's next call, a quarter of an hour later, finds this one ended.
LASTS_S: Final = 840


class Requests:
    """Loads the models of a task when it meets one. Raises `SettingsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._services: dict[str, Service] = {}
        store = open_jobs(settings.jobs)
        self._singly = RequestWorker(store, self._service_for, deliveries_of(store, settings))
        self._batches = BatchFileRunner(store.storage, self._service_for)

    def do(self, name: str, call: Call) -> list[dict[str, Any]]:
        """Computes what lies there under that name. Raises `FarthingError` where it waits on."""
        envelope = Envelope(call.request_id, deadline_after(call.left_ms), self._settings.tenant)
        if name.startswith(WAITING):
            ended = self._singly.run_one(name, envelope)
            return [] if ended is None else [{"request": ended.job.id, "status": ended.status}]
        if name.startswith(TICKETS):
            batch_id = name.removeprefix(TICKETS).removesuffix(".json")
            batch = self._batches.run(batch_id, envelope=envelope, stop=call.is_over)
            return [] if batch is None else [{"batch": batch.id, "status": batch.status}]
        return []

    def do_waiting(self, call: Call) -> list[dict[str, Any]]:
        """Computes what waits although nothing tells of it, and calls the webhooks that are due.

        What cannot be computed waits on and keeps nothing else waiting. Batches come last, since
        one may take all the time that there is; those which their own event's call may still be
        computing are left to it. Raises `StorageUnavailable`.
        """
        ends_s = time.monotonic() + LASTS_S

        def stop() -> bool:
            return call.is_over() or time.monotonic() >= ends_s

        requests = self._singly.run_pending(stop)
        batches = self._batches.run_pending(stop, min_age_s=call.whole_ms // MS_PER_S)
        return [{"requests": requests, "batches": batches}] if requests or batches else []

    def close(self) -> None:
        """Sends what is not sent, and gives back what is held of budgets."""
        for service in self._services.values():
            service.accounts.close()

    def _service_for(self, task: str) -> Service:
        if task not in self._services:
            function = next(name for name, one in FUNCTIONS.items() if one.contract.task == task)
            self._services[task] = Service([function], self._settings)
        return self._services[task]
