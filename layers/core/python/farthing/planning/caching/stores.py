"""Places beside the process to keep answers in, and what a month of each costs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.money import EXACT, multiply
from farthing.planning.rates import GLOBAL
from farthing.planning.traffic import HOURS_PER_MONTH

if TYPE_CHECKING:
    from farthing.billing.meter import Line
    from farthing.planning.assumptions import Assumptions
    from farthing.planning.rates import Rates

GB_BYTES = 10**9
KB_BYTES = 1024
READ_BYTES = 4096
LEFT_OUT = (
    "Alibaba's Tair (Redis)",
    "the price book has no row for it, since no source for its prices was found",
)


class Asked(msgspec.Struct, frozen=True):
    """A month at a store: how often it was asked and had the answer or not, and what it holds.

    Every answer that it had not was computed and written to it.
    """

    found: int
    missed: int
    entries: int
    entry_bytes: int

    @property
    def gb(self) -> Decimal:
        return EXACT.divide(Decimal(self.entries * self.entry_bytes), Decimal(GB_BYTES))


class Store:
    """`cache` is the setting that names it; `wait` the assumption on how long asking takes."""

    def __init__(
        self,
        title: str,
        cache: str,
        wait: str = "cache.remote-ms",
        assumed: tuple[str, ...] = (),
        bound_gb: Decimal | None = None,
    ) -> None:
        self.title, self.cache, self.wait = title, cache, wait
        self.assumed = (wait, *assumed)
        self.bound_gb = bound_gb

    def standing(self, asked: Asked, rates: Rates) -> list[Line]:
        """What it costs to be there and to hold what it holds."""
        raise NotImplementedError

    def by_calls(self, asked: Asked, rates: Rates) -> list[Line]:
        """What asking and writing costs."""
        return []


class Serverless(Store):
    """ElastiCache Serverless: gigabyte-hours from a minimum, and a unit for each KB that moves."""

    def __init__(self, title: str, least_gb: Decimal, bound_gb: Decimal | None) -> None:
        super().__init__(title, "rediss://…", assumed=("cache.valkey-least-gb",), bound_gb=bound_gb)
        self._least_gb = least_gb

    def standing(self, asked: Asked, rates: Rates) -> list[Line]:
        gb = max(self._least_gb, asked.gb)
        return [rates.line("elasticache.valkey.gb", multiply(gb, Decimal(HOURS_PER_MONTH)))]

    def by_calls(self, asked: Asked, rates: Rates) -> list[Line]:
        kb = -(-asked.entry_bytes // KB_BYTES)
        units = asked.found * kb + asked.missed + asked.missed * kb
        return [rates.line("elasticache.valkey.ecpu", units)]


class Node(Store):
    """One small ElastiCache node, by the hour."""

    def standing(self, asked: Asked, rates: Rates) -> list[Line]:
        return [rates.line("elasticache.node.valkey.t4g.micro", HOURS_PER_MONTH)]


class Table(Store):
    """A DynamoDB table on demand, read with eventual consistency: half a unit for each 4 KB."""

    def standing(self, asked: Asked, rates: Rates) -> list[Line]:
        return [rates.line("dynamodb.storage", asked.gb)]

    def by_calls(self, asked: Asked, rates: Rates) -> list[Line]:
        per_read = -(-asked.entry_bytes // READ_BYTES)
        halves = asked.found * per_read + asked.missed
        written = asked.missed * -(-asked.entry_bytes // KB_BYTES)
        return [
            rates.line("dynamodb.read", EXACT.divide(Decimal(halves), Decimal(2))),
            rates.line("dynamodb.write", written),
        ]


class Commands(Store):
    """Upstash, pay as you go: by the command."""

    def standing(self, asked: Asked, rates: Rates) -> list[Line]:
        free_gb = rates.row("upstash.free.storage", GLOBAL).rate
        return [rates.line("upstash.storage", max(Decimal(0), asked.gb - free_gb), GLOBAL)]

    def by_calls(self, asked: Asked, rates: Rates) -> list[Line]:
        return [rates.line("upstash.command", asked.found + 2 * asked.missed, GLOBAL)]


def stores(assumptions: Assumptions) -> tuple[Store, ...]:
    """Those that can be priced; ElastiCache's run Valkey, which is cheaper than Redis OSS."""
    least_gb = assumptions.number("cache.valkey-least-gb")
    return (
        Serverless("ElastiCache Serverless, its least", least_gb, least_gb),
        Serverless("ElastiCache Serverless, no bound", least_gb, None),
        Node(
            "ElastiCache node t4g.micro",
            "rediss://…",
            assumed=("cache.node-gb",),
            bound_gb=assumptions.number("cache.node-gb"),
        ),
        Table("DynamoDB on demand", "dynamodb:TABLE", "cache.dynamodb-ms"),
        Commands("Upstash by the command", "rediss://…"),
    )
