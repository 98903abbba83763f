"""Statements: what a tenant used and what it owes, summed from entries as they stream by."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.billing.credits import Credits
from farthing.billing.meter import HOUSE, Line, line_of
from farthing.billing.rollups import Rollup
from farthing.money import EXACT, ZERO, plain, total
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.billing.ledger import Entry
    from farthing.billing.periods import Period
    from farthing.billing.rollups import Group
    from farthing.billing.valuation import Valuer

By = Literal["tenant", "day", "task", "model"]


class UsageRow(msgspec.Struct, kw_only=True):
    """What a day, a task or a model came to; `cost` and `price` in US dollars.

    `repeats` are answers to a request that was answered before: they cost, and are not sold.
    `cached` are the calls of which the cache answered all, `cached_tokens` those of the
    `prompt_tokens` that it answered at all.
    """

    name: str
    calls: int = 0
    repeats: int = 0
    refusals: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    busy_ns: int = 0
    idle_ns: int = 0
    cost: Decimal = ZERO
    price: Decimal = ZERO

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "calls": self.calls,
            "repeats": self.repeats,
            "refusals": self.refusals,
            "cached": self.cached,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "busy_ms": self.busy_ns / NS_PER_MS,
            "idle_ms": self.idle_ns / NS_PER_MS,
            "cost": plain(self.cost),
            "price": plain(self.price),
        }


class InvoiceLine(msgspec.Struct, frozen=True):
    """A line with what it is for; a credit is for the month, and names the plan that gives it."""

    day: str
    task: str
    model: str
    plan: str
    line: Line

    def as_json(self) -> dict[str, str]:
        return {
            "day": self.day,
            "task": self.task,
            "model": self.model,
            "plan": self.plan,
            **self.line.as_json(),
        }


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's period. `total` is the sum of `lines`, exactly.

    For a whole month it is the invoice, with its plan's credits; for other periods, `credited` is
    False and the total is what the answers told.
    """

    tenant: str
    since: str
    until: str
    credited: bool
    price_books: tuple[str, ...]
    plans: tuple[str, ...]
    lines: tuple[InvoiceLine, ...]
    days: tuple[UsageRow, ...]
    tasks: tuple[UsageRow, ...]
    models: tuple[UsageRow, ...]
    total: Decimal

    def as_json(self) -> dict[str, object]:
        """For machines; all money is plain decimal strings, `until` is the last day in it.

        `{"tenant", "since", "until", "currency": "USD", "total", "credited", "price_books",
        "plans", "lines": [{"day", "task", "model", "plan", "rule", "quantity", "unit", "rate",
        "amount"}], "days": [{"name", "calls", "repeats", "refusals", "cached", "prompt_tokens",
        "cached_tokens", "busy_ms", "idle_ms", "cost", "price"}], "tasks": as days,
        "models": as days}`
        """
        return {
            "tenant": self.tenant,
            "since": self.since,
            "until": self.until,
            "currency": "USD",
            "total": plain(self.total),
            "credited": self.credited,
            "price_books": list(self.price_books),
            "plans": list(self.plans),
            "lines": [line.as_json() for line in self.lines],
            "days": [day.as_json() for day in self.days],
            "tasks": [task.as_json() for task in self.tasks],
            "models": [model.as_json() for model in self.models],
        }


def usage_of(
    entries: Iterable[Entry], valuer: Valuer, period: Period, by: By = "day"
) -> dict[str, list[UsageRow]]:
    """Each tenant's rows, by name; the house's are its refusals and idle time.

    `entries` are in the ledger's order, best `rollups.entries_of(ledger, period)`.
    """
    rollup = Rollup(valuer, period)
    for entry in entries:
        rollup.add(entry)
    tenants = sorted({group.tenant for group in rollup.groups})
    return {tenant: _rows(rollup, _of(rollup, tenant), by) for tenant in tenants}


def statements_of(entries: Iterable[Entry], valuer: Valuer, period: Period) -> dict[str, Statement]:
    """Each tenant's statement, the house left out: it buys nothing."""
    rollup = Rollup(valuer, period)
    given: dict[str, Credits] = defaultdict(lambda: Credits(valuer))
    for entry in entries:
        if rollup.add(entry) and period.is_month:
            given[entry.tenant].add(entry)
    tenants = sorted({group.tenant for group in rollup.groups} - {HOUSE})
    return {tenant: _statement(tenant, rollup, given[tenant], period) for tenant in tenants}


def statement_of(
    tenant: str, entries: Iterable[Entry], valuer: Valuer, period: Period
) -> Statement:
    """One tenant's statement, from its own entries; without any, it is empty."""
    rollup, given = Rollup(valuer, period), Credits(valuer)
    for entry in entries:
        if rollup.add(entry) and period.is_month:
            given.add(entry)
    return _statement(tenant, rollup, given, period)


def _statement(tenant: str, rollup: Rollup, given: Credits, period: Period) -> Statement:
    groups = _of(rollup, tenant)
    quantities: dict[tuple[str, str, str, str, str, str, Decimal], Decimal] = defaultdict(
        lambda: ZERO
    )
    for group in groups:
        place = group.day, group.task, group.model, group.plan
        for line in rollup.price_lines(group):
            key = *place, line.rule, line.unit, line.rate
            quantities[key] = EXACT.add(quantities[key], line.quantity)
    lines = [
        InvoiceLine(day, task, model, plan, line_of(rule, quantity, unit, rate))
        for (day, task, model, plan, rule, unit, rate), quantity in quantities.items()
    ]
    lines += [InvoiceLine("", "", "", plan, line) for plan, line in given.lines()]
    return Statement(
        tenant=tenant,
        since=period.since.isoformat(),
        until=period.last.isoformat(),
        credited=period.is_month,
        price_books=tuple(sorted({group.tariff.book for group in groups})),
        plans=tuple(sorted({group.plan for group in groups if group.plan})),
        lines=tuple(lines),
        days=tuple(_rows(rollup, groups, "day")),
        tasks=tuple(_rows(rollup, groups, "task")),
        models=tuple(_rows(rollup, groups, "model")),
        total=total(line.line.amount for line in lines),
    )


def _of(rollup: Rollup, tenant: str) -> list[Group]:
    groups = [group for group in rollup.groups if group.tenant == tenant]
    return sorted(groups, key=lambda group: (group.day, group.task, group.model, group.plan))


def _rows(rollup: Rollup, groups: Iterable[Group], by: By) -> list[UsageRow]:
    rows: dict[str, UsageRow] = {}
    for group in groups:
        name = getattr(group, by)
        row = rows.setdefault(name, UsageRow(name=name))
        sums = rollup.groups[group]
        row.calls += sums.calls
        row.repeats += sums.repeats
        row.refusals += sums.refusals
        row.cached += sums.cached
        row.prompt_tokens += sums.tokens
        row.cached_tokens += sums.cached_tokens
        row.busy_ns += sums.busy_ns
        row.idle_ns += sums.idle_ns
        row.cost = EXACT.add(row.cost, rollup.cost(group))
        price = total(line.amount for line in rollup.price_lines(group))
        row.price = EXACT.add(row.price, price)
    return sorted(rows.values(), key=lambda row: row.name)
