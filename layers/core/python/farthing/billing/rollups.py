"""Entries summed as they stream by: what each tenant used, by day, task and model.

Costs and prices are linear in the entries' integers, so sums are kept of those and money is made of
them at the end; memory grows with days, models and plans, not with calls.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.caps import MINUS_ONE
from farthing.billing.meter import line_of
from farthing.billing.periods import MS_PER_DAY, day_of
from farthing.billing.quantities import NOTHING, Quantities
from farthing.billing.tariff import Tariff
from farthing.money import EXACT, ZERO, total

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from farthing.billing.ledger import Entry, Ledger
    from farthing.billing.meter import Line
    from farthing.billing.periods import Period
    from farthing.billing.valuation import Valuer

# Platforms try an attempt again within hours, not days: Lambda within 6, Function Compute by
# default within 5.
REPEATS_WITHIN_MS = MS_PER_DAY


class Group(msgspec.Struct, frozen=True):
    """What entries have in common that are summed together."""

    tenant: str
    day: str
    task: str
    model: str
    plan: str
    tariff: Tariff


class Sums:
    """`calls` are the answers that are sold; `repeats` are answers of an attempt sold before.

    `cached` are those of the calls that the cache answered whole, `cached_tokens` those of the
    tokens that it answered at all.
    """

    __slots__ = (
        "busy_ns", "cached", "cached_tokens", "calls", "cap", "cost", "idle_ns", "refusals",
        "repeats", "sold", "tokens",
    )  # fmt: skip

    def __init__(self) -> None:
        self.calls = self.repeats = self.refusals = self.cached = 0
        self.tokens = self.cached_tokens = self.busy_ns = self.idle_ns = 0
        self.cost: Quantities = NOTHING
        self.sold: Quantities = NOTHING
        self.cap: Decimal = ZERO


class SoldOnce:
    """Tells the first answer to a platform's request from those that repeat it.

    Of what streams by it remembers a day, as 16 bytes an answer.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def is_first(self, entry: Entry) -> bool:
        """Whether the tenant had no earlier answer of this function and request id; remembers it.

        A platform's retry is its first caller's; so one tenant's entries tell what all would. Work
        that has a name is in the ledger once, and several may share a request.
        """
        if entry.is_named_by_work:
            return True
        while self._seen:
            oldest, at_ms = next(iter(self._seen.items()))
            if at_ms > entry.at_ms - REPEATS_WITHIN_MS:
                break
            del self._seen[oldest]
        name = msgspec.json.encode((entry.tenant, entry.function, entry.request_id))
        key = blake2b(name, digest_size=16).digest()
        if key in self._seen:
            return False
        self._seen[key] = entry.at_ms
        return True


def entries_of(ledger: Ledger, period: Period, tenant: str | None = None) -> Iterator[Entry]:
    """The period's entries, and those before it that its attempts may repeat; for `Rollup`."""
    since_ms = max(0, period.since_ms - REPEATS_WITHIN_MS)
    return ledger.entries(since_ms, period.until_ms, tenant=tenant)


class Rollup:
    """Add entries in the ledger's order; then read `groups` and what they come to."""

    def __init__(self, valuer: Valuer, period: Period) -> None:
        self._valuer = valuer
        self._since_ms = period.since_ms
        self._sold_once = SoldOnce()
        self.groups: dict[Group, Sums] = {}

    def add(self, entry: Entry) -> bool:
        """Whether the entry is sold. One before the period is only remembered."""
        if entry.at_ms < self._since_ms:
            if entry.kind == "answer":
                self._sold_once.is_first(entry)
            return False
        usage = entry.usage
        group = Group(
            entry.tenant,
            day_of(entry.at_ms),
            entry.task,
            entry.model,
            entry.plan,
            entry.tariff,
        )
        sums = self.groups.setdefault(group, Sums())
        quantities = self._valuer.quantities(entry)
        sums.cost = sums.cost.plus(quantities)
        if entry.kind == "idle":
            sums.idle_ns += usage.busy_ns
            return False
        sums.busy_ns += usage.busy_ns
        if entry.kind != "answer":
            sums.refusals += entry.kind == "refusal"
            return False
        if not self._sold_once.is_first(entry):
            sums.repeats += 1
            return False
        sums.calls += 1
        sums.tokens += usage.prompt_tokens
        sums.cached_tokens += usage.cached_tokens
        sums.cached += usage.cache == "hit"
        sums.sold = sums.sold.plus(quantities)
        if entry.price_max_pico is not None:
            cap_rule = self._valuer.plan(entry.plan).cap_rule
            for line in self._valuer.value(entry).price.lines:
                if line.rule == cap_rule:
                    sums.cap = EXACT.add(sums.cap, line.quantity)
        return True

    def cost(self, group: Group) -> Decimal:
        """What the provider bills for a group's attempts, in US dollars."""
        meter = self._valuer.meter(group.tariff)
        return total(line.amount for line in meter.lines(self.groups[group].cost))

    def price_lines(self, group: Group) -> tuple[Line, ...]:
        """What a group's answers were sold for."""
        sums = self.groups[group]
        cost = tuple(self._valuer.meter(group.tariff).lines(sums.sold))
        plan = self._valuer.plan(group.plan)
        lines = plan.lines(cost, sums.calls, sums.tokens, sums.cached_tokens)
        if sums.cap:
            return (*lines, line_of(plan.cap_rule, sums.cap, "USD", MINUS_ONE))
        return lines
