"""Requests that waited, computed."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from farthing.batch.deliveries import Deliveries
from farthing.batch.errors import JobUnfinished
from farthing.batch.held import Held
from farthing.batch.webhooks import Webhooks
from farthing.errors import FarthingError
from farthing.serving.envelope import Accepted, Envelope, generate_envelope
from farthing.serving.jobs.records import ID, WAITING, Finished, Queued, writer_of
from farthing.serving.jobs.store import JobStore, without_request
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.ledger import Entry
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service
    from farthing.settings import Settings

# What another attempt may answer: too many calls, no time left, a store that is down.
PASSING: Final = {429, 503}
FAULT: Final = 500
# Where no platform ends the call: nobody holds a connection open for it.
COMPUTING_MS: Final = 600_000
FAULTS_MAX: Final = 3

log = logging.getLogger("farthing")


def deliveries_of(store: JobStore, settings: Settings) -> Deliveries | None:
    """What calls webhooks; None where nothing could sign their calls. Raises `SettingsError`."""
    return Deliveries(store, Webhooks(settings.webhook_secret)) if settings.webhook_secret else None


class RequestWorker:
    """Computes what waits, each job as one invocation; may be killed at any moment, and others may
    work beside it.

    What a job came to is written first, and only where nothing is. Its entry is made from that, and
    then the request is removed: a worker that finds both does the rest. `service_for` gives the
    service that answers a task.
    """

    def __init__(
        self,
        store: JobStore,
        service_for: Callable[[str], Service],
        deliveries: Deliveries | None = None,
    ) -> None:
        self._store = store
        self._service_for = service_for
        self._deliveries = deliveries
        self._faults: Counter[str] = Counter()

    def run_one(self, name: str, envelope: Envelope | None = None) -> Finished | None:
        """What the job of the file `in/ID.json` came to; None where it does not wait any more.

        Its webhook is called, and those of others that are due. `envelope` is that of the
        platform's call, where it is about this job alone. Raises `JobUnfinished` where it cannot be
        computed just now, `StorageUnavailable`.
        """
        ended = self._finish(name, envelope)
        if self._deliveries is not None and ended is not None and ended.job.webhook:
            self._deliveries.deliver_due()
        return ended

    def _finish(self, name: str, envelope: Envelope | None = None) -> Finished | None:
        job_id = name.removeprefix(WAITING).removesuffix(".json")
        if not ID.fullmatch(job_id):
            return None
        job = self._store.waiting(job_id)
        if job is None:
            return None
        ended = self._store.finished(job_id) or self._compute(job, envelope)
        if ended.entry is not None:
            self._record(ended.entry, job.task)
        if job.webhook and ended.status != "cancelled":
            self._announce(ended)
        self._store.storage.delete(job.name)
        return ended

    def run_pending(self, stop: Callable[[], bool] = lambda: False) -> int:
        """How many jobs it computed, the oldest first; then it calls the webhooks that are due.

        A job that cannot be computed waits on, and those behind it are computed all the same.
        """
        done = 0
        for job in self._store.oldest():
            if stop():
                return done
            try:
                done += self._finish(job.name) is not None
            except FarthingError as error:
                log.warning("job %s waits on: %s", job.id, error)
            except Exception as fault:
                # Where, not what: an exception's text may quote the input.
                place = "".join(traceback.format_tb(fault.__traceback__))
                log.error("job %s failed: %s at\n%s", job.id, type(fault).__name__, place)
        if self._deliveries is not None:
            self._deliveries.deliver_due(stop)
        return done

    def _compute(self, job: Queued, given: Envelope | None) -> Finished:
        service = self._service_for(job.task)
        held = Held()
        envelope = msgspec.structs.replace(
            given or generate_envelope(COMPUTING_MS, job.tenant),
            tenant=job.tenant,
            caller=None,
            accepted=Accepted(job.plan, job.price_max_pico, held),
        )
        contract = _contract_of(service, job)
        outcome = service.pipeline.invoke(contract, bytes(job.request), envelope)
        if self._is_passing(job, outcome.status):
            held.give_to_house(service.accounts.recorder)
            raise JobUnfinished(
                f"The job cannot be computed just now (HTTP {outcome.status}); it waits on. Look "
                "into the log for why, if it stays so."
            )
        result = Finished(
            job=without_request(job),
            status="succeeded" if outcome.status < 400 else "failed",
            body=_as_object(outcome.body),
            entry=held.entry(writer_of(job.id), 1),
            finished_ms=time.time_ns() // NS_PER_MS,
        )
        ended = self._store.finish(result)
        if ended is not result:
            held.give_to_house(service.accounts.recorder)
        return ended

    def _announce(self, ended: Finished) -> None:
        if self._deliveries is None:
            log.error(
                "job %s: its webhook is not called, since FARTHING_WEBHOOK_SECRET is not set here",
                ended.job.id,
            )
        else:
            self._deliveries.add(ended)

    def _is_passing(self, job: Queued, status: int) -> bool:
        """Whether another attempt may come to more; a fault of ours is given a few."""
        if status != FAULT:
            return status in PASSING
        self._faults[job.id] += 1
        return self._faults[job.id] < FAULTS_MAX

    def _record(self, entry: Entry, task: str) -> None:
        fields = msgspec.structs.asdict(entry)
        key = fields.pop("writer"), fields.pop("number")
        self._service_for(task).accounts.recorder.record(key=key, **fields)


def _contract_of(service: Service, job: Queued) -> Contract:
    for contract in service.contracts:
        if contract.path == job.path:
            return contract
    raise JobUnfinished(
        f"The job is for {job.path}, which is not served here. Have the function that serves it "
        "compute the job."
    )


def _as_object(body: dict[str, object] | list[object]) -> dict[str, Any]:
    """The body, which is an object for every contract whose requests may wait."""
    return body if isinstance(body, dict) else {"results": body}
