"""What a job's shards owe: an entry for each, made from its checkpoint alone, and their charge."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.ledger import Entry
from farthing.billing.meter import HOUSE, Charge, Line
from farthing.billing.plans import current_plan, plan_id, read_plans
from farthing.billing.tariff import tariff_of
from farthing.billing.valuation import Valuer
from farthing.money import EXACT, ZERO, total
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from farthing.batch.job import Done, Job
    from farthing.billing.recorders import Recorder
    from farthing.settings import Settings

# What a service that is going away answers; nobody gets it, as the worker is gone.
STATUS_LOST = 503


def plan_of(name: str | None, settings: Settings) -> str:
    """The id of the plan of that name as it is sold now, or of the settings' own; "" at cost.

    Raises `SettingsError` where there is none of that name.
    """
    name = name or settings.plan
    return plan_id(current_plan(read_plans(settings.plans), name)) if name else ""


def entry_of(job: Job, done: Done, settings: Settings) -> Entry:
    """The shard's entry: the same from whoever makes it and as often as it is made.

    No lease was asked for; the tenant's budgets are charged when the entry is sealed. `settings`
    are asked only where the checkpoint does not say under which terms it was run.
    """
    return Entry(
        writer=job.writer,
        number=done.number + 1,
        function=done.function or settings.function,
        request_id=done.request_id,
        at_ms=done.at_ms,
        tenant=job.tenant,
        kind="answer",
        task=job.task,
        model=job.model,
        plan=job.plan,
        unleased=True,
        usage=done.usage,
        tariff=done.tariff or tariff_of(settings),
    )


def lost(job: Job, busy_ns: int, request_id: str, settings: Settings) -> Entry:
    """The entry of an attempt that came to nothing, under a name of its own: the house's cost."""
    return Entry(
        writer=secrets.token_hex(8),
        number=1,
        function=settings.function,
        request_id=request_id,
        at_ms=time.time_ns() // NS_PER_MS,
        tenant=HOUSE,
        kind="refusal",
        task=job.task,
        model=job.model,
        status=STATUS_LOST,
        usage=Usage(
            prompt_tokens=0,
            truncated=0,
            busy_ns=busy_ns,
            init_ns=0,
            memory_mb=settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=False,
        ),
        tariff=tariff_of(settings),
    )


def book(recorder: Recorder, entry: Entry) -> None:
    """Keeps the entry under its own name. A ledger takes entries as they are: `append`."""
    fields = msgspec.structs.asdict(entry)
    recorder.record(key=(fields.pop("writer"), fields.pop("number")), **fields)


def prices_of(job: Job, dones: Iterable[Done], settings: Settings) -> dict[int, Charge]:
    """What the tenant pays for each shard under the job's plan, by number.

    Raises `LedgerError` where the plan's terms are not known here, `PriceMissing`.
    """
    valuer = Valuer(read_plans(settings.plans))
    return {
        done.number: msgspec.structs.replace(
            valuer.value(entry_of(job, done, settings)).price, basis=settings.basis
        )
        for done in dones
    }


def add_up(charges: Sequence[Charge], settings: Settings) -> Charge:
    """One charge for all: a line for each rule and rate, and to the last digit their sum.

    A line's amount is its quantity times its rate, and so is that of a sum of such lines.
    """
    quantities: dict[tuple[str, str, Decimal], Decimal] = {}
    for charge in charges:
        for line in charge.lines:
            key = line.rule, line.unit, line.rate
            quantities[key] = EXACT.add(quantities.get(key, ZERO), line.quantity)
    lines = tuple(
        Line(rule, quantity, unit, rate, EXACT.multiply(quantity, rate))
        for (rule, unit, rate), quantity in quantities.items()
    )
    return Charge(
        lines=lines,
        total=total(line.amount for line in lines),
        basis=settings.basis,
        price_book=", ".join(sorted({charge.price_book for charge in charges})),
        billed_ms=sum(charge.billed_ms for charge in charges),
    )
