"""A batch's end: its files put together from its shards, and what all of it came to."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final, Literal

from farthing.batch.booking import add_up
from farthing.batch.openai.results import Computed, Result, line_of, read_lines
from farthing.serving.batches.objects import RequestCounts, result_file_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.openai.lines import Asking
    from farthing.serving.batches.objects import Batch, Status, Ticket
    from farthing.serving.batches.store import BatchStore
    from farthing.settings import Settings

Ending = Literal["cancelled", "expired"]
WHY: Final[dict[Ending, str]] = {
    "cancelled": "The batch was cancelled before this request was computed.",
    "expired": "The batch's time was over before this request was computed.",
}


def uncomputed(
    batch_id: str, number: int, asked: Sequence[Asking], ending: Ending, settings: Settings
) -> Computed:
    """What a shard comes to that is not computed any more: nothing is charged for it."""
    error = {"code": f"batch_{ending}", "message": WHY[ending]}
    lines = [line_of(batch_id, one.number, one.custom_id, error=error) for one in asked]
    result = Result(
        number=number,
        completed=0,
        failed=len(lines),
        tokens=0,
        output_bytes=0,
        charge=add_up([], settings),
        ending=ending,
    )
    return Computed(result=result, output=b"", errors=b"".join(lines))


def settle(store: BatchStore, ticket: Ticket, shards: int, settings: Settings) -> Batch:
    """The batch at its end, all of whose shards have a result.

    Whoever does it, and however often, comes to the same.
    """
    store.change(ticket.tenant, ticket.batch, _finalizing)
    with ExitStack() as stack:
        output = stack.enter_context(NamedTemporaryFile())
        errors = stack.enter_context(NamedTemporaryFile())
        results = []
        for number in range(shards):
            result, pieces = read_lines(store.storage, ticket.batch, number)
            results.append(result)
            for is_output, piece in pieces:
                (output if is_output else errors).write(piece)
        output.flush()
        errors.flush()
        output_id = _keep(store, ticket, Path(output.name), "output")
        error_id = _keep(store, ticket, Path(errors.name), "error")
    tokens = sum(result.tokens for result in results)

    def end(batch: Batch) -> Batch:
        if batch.is_settled:
            return batch
        is_expired = any(result.ending == "expired" for result in results)
        otherwise: Status = "expired" if is_expired else "completed"
        return batch.entering(
            "cancelled" if batch.status == "cancelling" else otherwise,
            output_file_id=output_id,
            error_file_id=error_id,
            model=_model_of(results),
            request_counts=counts_of(results, batch.request_counts.total),
            usage=_usage(tokens),
            charge=add_up([result.charge for result in results], settings).as_json(),
        )

    return store.change(ticket.tenant, ticket.batch, end)


def counts_of(results: Sequence[Result], total: int) -> RequestCounts:
    return RequestCounts(
        total=total,
        completed=sum(result.completed for result in results),
        failed=sum(result.failed for result in results),
    )


def _model_of(results: Sequence[Result]) -> str | None:
    entries = (result.entry for result in results)
    return next((entry.model for entry in entries if entry is not None and entry.model), None)


def _finalizing(batch: Batch) -> Batch:
    return batch.entering("finalizing") if batch.status == "in_progress" else batch


def _keep(
    store: BatchStore, ticket: Ticket, content: Path, kind: Literal["output", "error"]
) -> str | None:
    """The id of the file with these lines; None where there are none."""
    if not content.stat().st_size:
        return None
    file = store.add_file(
        ticket.tenant,
        content,
        filename=f"{ticket.batch}_{kind}.jsonl",
        purpose="batch_output",
        file_id=result_file_id(ticket.batch, kind),
    )
    return file.id


def _usage(tokens: int) -> dict[str, object]:
    """In OpenAI's words."""
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens,
    }
