"""A shard of a batch computed: an invocation, whose charge its requests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from farthing.batch.held import Held
from farthing.batch.openai.portions import portions_of, usages_of
from farthing.batch.openai.results import Computed, Result, line_of
from farthing.batch.openai.together import Together
from farthing.money import ZERO
from farthing.serving.envelope import Accepted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.openai.lines import Asking
    from farthing.errors import Refusal
    from farthing.serving.batches.objects import Ticket
    from farthing.serving.envelope import Envelope
    from farthing.serving.outcome import Outcome
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

ANSWERED: Final = 200
REFUSED: Final = 400
FAULT: Final = 500
# What another attempt may answer: too many calls, no time left, a store that is down.
PASSING: Final = {429, 503}
FAULTS_MAX: Final = 3


class Postponed(Exception):
    """The shard cannot be computed just now; `status` is what a single call would be answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def compute(
    service: Service,
    contract: Contract,
    ticket: Ticket,
    number: int,
    model: str | None,
    asked: Sequence[Asking],
    envelope: Envelope,
) -> tuple[Computed, Held]:
    """What a shard comes to, and its attempt's entry, which counts if the result is kept.

    A request that cannot be answered is refused as it would be by itself. Raises `Postponed`; what
    that has cost is booked to the house.
    """
    for attempt in range(1, FAULTS_MAX + 1):
        held, together = Held(), Together(contract, [one.body for one in asked])
        accepted = Accepted(ticket.plan, None, held)
        envelope = msgspec.structs.replace(
            envelope, tenant=ticket.tenant, caller=None, accepted=accepted, share=None
        )
        outcome = service.pipeline.invoke(together, {"model": model}, envelope)
        if outcome.status != FAULT or attempt == FAULTS_MAX:
            break
        held.give_to_house(service.accounts.recorder)
    if outcome.status in PASSING:
        held.give_to_house(service.accounts.recorder)
        raise Postponed(outcome.status)
    return _told(ticket.batch, number, asked, together, outcome, held), held


def _told(
    batch_id: str,
    number: int,
    asked: Sequence[Asking],
    together: Together,
    outcome: Outcome,
    held: Held,
) -> Computed:
    _frame(together, outcome)
    output: list[bytes] = []
    errors: list[bytes] = []
    for place, one in enumerate(asked):
        body = together.answers.get(place)
        status = ANSWERED
        if body is None:
            status, body = _problem(together.refused.get(place), outcome)
        response = {
            "status_code": status,
            "request_id": outcome.headers["X-Request-Id"],
            "body": body,
        }
        line = line_of(batch_id, one.number, one.custom_id, response=response)
        (output if status == ANSWERED else errors).append(line)
    written = b"".join(output)
    result = Result(
        number=number,
        completed=len(output),
        failed=len(errors),
        tokens=outcome.usage.prompt_tokens,
        output_bytes=len(written),
        charge=outcome.price,
        entry=held.entry(batch_id, number + 1),
    )
    return Computed(result=result, output=written, errors=b"".join(errors))


def _frame(together: Together, outcome: Outcome) -> None:
    """Puts each answer's own part of usage and charge into it."""
    if outcome.status >= REFUSED:
        together.answers.clear()
        return
    places = list(together.answers)
    works = [together.parts[place].work for place in places]
    tokens = [work.tokens for work in works]
    usages = usages_of(outcome.usage, tokens, [work.truncated for work in works])
    portions = portions_of(outcome.price, [max(1, own) for own in tokens])
    for place, usage, portion in zip(places, usages, portions, strict=True):
        together.answers[place]["usage"] = usage.as_json(portion.billed_ms)
        together.answers[place]["charge"] = portion.as_json()


def _problem(refusal: Refusal | None, outcome: Outcome) -> tuple[int, dict[str, Any]]:
    """Why a request has no answer: for a reason of its own, or for its shard's."""
    if refusal is None:
        return outcome.status, cast("dict[str, Any]", outcome.body)
    nothing = msgspec.structs.replace(outcome.price, lines=(), total=ZERO, billed_ms=0)
    instance = outcome.headers["X-Request-Id"]
    told = refusal.problem() | {"instance": instance, "charge": nothing.as_json()}
    return refusal.status, told
