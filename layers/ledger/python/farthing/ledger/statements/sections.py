"""A statement's lines as people read them: by what they are for, the days added up."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import Line, line_of
from farthing.money import EXACT, ZERO, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.billing.invoices import InvoiceLine


class Section(msgspec.Struct, frozen=True):
    """The month's lines of one task and model under one plan; credits have neither."""

    title: str
    plan: str
    lines: tuple[Line, ...]
    total: Decimal


def sections_of(lines: Iterable[InvoiceLine]) -> Iterator[Section]:
    """The days' lines of one rate added up; all sections together are the statement's total."""
    months: dict[tuple[str, str, str], dict[tuple[str, str, Decimal], Decimal]] = {}
    for one in lines:
        line = one.line
        summed = months.setdefault((one.task, one.model, one.plan), defaultdict(lambda: ZERO))
        key = line.rule, line.unit, line.rate
        summed[key] = EXACT.add(summed[key], line.quantity)
    for (task, model, plan), summed in months.items():
        merged = tuple(
            line_of(rule, quantity, unit, rate) for (rule, unit, rate), quantity in summed.items()
        )
        title = " · ".join(part for part in (task, model) if part) or "Credits of the month"
        yield Section(title, plan, merged, total(line.amount for line in merged))
