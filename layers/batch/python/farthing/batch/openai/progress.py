"""One worker at one batch: its file is read once, computed shard by shard, put together."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from farthing.batch.booking import book
from farthing.batch.errors import EngineUnavailable, Interrupted, JobUnfinished
from farthing.batch.openai.computing import Postponed, compute
from farthing.batch.openai.lines import read_slice
from farthing.batch.openai.results import keep, kept, read_result
from farthing.batch.openai.settling import counts_of, settle, uncomputed
from farthing.batch.openai.survey import Survey, Surveyor, Unusable
from farthing.errors import FileMissing, PublishConflict
from farthing.serving.batches.objects import BatchErrors, LineError, RequestCounts
from farthing.serving.batches.store import work_name
from farthing.serving.envelope import generate_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.batch.openai.lines import Slice
    from farthing.batch.openai.results import Result
    from farthing.batch.openai.settling import Ending
    from farthing.serving.batches.objects import Batch, Ticket
    from farthing.serving.batches.store import BatchStore
    from farthing.serving.envelope import Envelope
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

PLAN: Final = "plan.json"
# Where no platform bounds a call: nobody waits for a shard.
SHARD_MS_MAX: Final = 3_600_000
GONE: Final = LineError(
    code="file_not_found", message="The file is not there any more. Send it again."
)


class Progress:
    """`envelope` is that of the platform's call, where there is one."""

    def __init__(
        self,
        store: BatchStore,
        service: Service,
        ticket: Ticket,
        batch: Batch,
        envelope: Envelope | None,
    ) -> None:
        self._store = store
        self._service = service
        self._ticket = ticket
        self._batch = batch
        self._envelope = envelope
        self._contract = _contract_of(service, batch)
        self._results: dict[int, Result] = {}

    def to_the_end(self, stop: Callable[[], bool]) -> Batch:
        """The settled batch. Raises as `BatchFileRunner.run` does."""
        try:
            survey = self._survey()
            for number in sorted(kept(self._store.storage, self._batch.id)):
                self._count(read_result(self._store.storage, self._batch.id, number))
            self._change(lambda batch: _begun(batch, survey.requests))
            for piece in survey.slices:
                if self._batch.is_settled:
                    # By another worker, who has put everything away.
                    return self._batch
                if piece.number not in self._results:
                    self._take(piece, survey, stop)
            return settle(self._store, self._ticket, len(survey.slices), self._service.settings)
        except FileMissing:
            return self._fail(GONE)
        except Unusable as unusable:
            return self._fail(*unusable.errors)

    def _survey(self) -> Survey:
        """How the batch is cut, by whoever read it first. Raises `Unusable`."""
        storage, name = self._store.storage, work_name(self._batch.id, PLAN)
        if storage.etag(name) is None:
            lines = self._store.lines(self._ticket.tenant, self._batch.input_file_id)
            most = self._service.settings.payload_max_bytes
            found = Surveyor(self._batch.endpoint, most).read(lines)
            with suppress(PublishConflict):
                storage.write(name, msgspec.json.encode(found), expect=None)
        return msgspec.json.decode(storage.read(name), type=Survey)

    def _take(self, piece: Slice, survey: Survey, stop: Callable[[], bool]) -> None:
        """Has the shard's result, from this worker or another."""
        if stop():
            raise Interrupted("The batch was stopped between two shards. What is done is kept.")
        start = self._store.lines(self._ticket.tenant, self._batch.input_file_id, piece.start)
        asked = read_slice(start, piece, survey.line_bytes_max)
        storage, batch_id = self._store.storage, self._batch.id
        ending = _ending(self._batch)
        if ending is not None:
            settings = self._service.settings
            computed = uncomputed(batch_id, piece.number, asked, ending, settings)
            self._count(keep(storage, batch_id, computed))
            return
        try:
            computed, held = compute(
                self._service,
                self._contract,
                self._ticket,
                piece.number,
                survey.model,
                asked,
                self._attempt(),
            )
        except Postponed as postponed:
            raise JobUnfinished(
                f"Shard {piece.number} of batch {batch_id} cannot be computed just now "
                f"({postponed}); it waits on. Look into the log for why, if it stays so."
            ) from None
        result = keep(storage, batch_id, computed)
        if result is not computed.result:
            held.give_to_house(self._service.accounts.recorder)
        self._count(result)
        counts = counts_of(list(self._results.values()), survey.requests)
        self._change(lambda batch: _counted(batch, counts))

    def _attempt(self) -> Envelope:
        return self._envelope or generate_envelope(SHARD_MS_MAX, self._ticket.tenant)

    def _count(self, result: Result) -> None:
        """Books what is kept, as often as it is met."""
        if result.entry is not None:
            book(self._service.accounts.recorder, result.entry)
        self._results[result.number] = result

    def _change(self, change: Callable[[Batch], Batch]) -> None:
        self._batch = self._store.change(self._ticket.tenant, self._batch.id, change)

    def _fail(self, *errors: LineError) -> Batch:
        def failed(batch: Batch) -> Batch:
            return (
                batch if batch.is_settled else batch.entering("failed", errors=BatchErrors(errors))
            )

        self._change(failed)
        return self._batch


def _contract_of(service: Service, batch: Batch) -> Contract:
    for contract in service.contracts:
        if contract.path == batch.endpoint:
            return contract
    raise EngineUnavailable(
        f"The batch is for {batch.endpoint}, which is not served here. Have the function that "
        "serves it compute the batch."
    )


def _begun(batch: Batch, requests: int) -> Batch:
    if batch.status == "validating":
        return batch.entering("in_progress", request_counts=RequestCounts(total=requests))
    if batch.status == "cancelling" and not batch.request_counts.total:
        return msgspec.structs.replace(batch, request_counts=RequestCounts(total=requests))
    return batch


def _counted(batch: Batch, counts: RequestCounts) -> Batch:
    """The batch with its progress, which another worker may have told first."""
    told = batch.request_counts
    if batch.is_settled or counts.completed + counts.failed <= told.completed + told.failed:
        return batch
    return msgspec.structs.replace(batch, request_counts=counts)


def _ending(batch: Batch) -> Ending | None:
    """Why no more of the batch is computed; None where it goes on."""
    if batch.status == "cancelling":
        return "cancelled"
    return "expired" if time.time() >= batch.expires_at else None
