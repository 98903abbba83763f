"""One way to run the work, with its price."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Line
from farthing.money import EXACT, plain, total
from farthing.planning.traffic import DAYS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.planning.simulation import Run

Family = Literal[
    "Lambda",
    "Function Compute",
    "Knative",
    "box",
    "GPU by the hour",
    "SageMaker",
    "Hugging Face Endpoint",
    "API per token",
    "Raspberry Pi",
]
MONTHS = Decimal(12)
USD_PLACES = 6
US_PER_MS = 1000


class Growth(msgspec.Struct, frozen=True):
    """What does not grow in proportion to the calls: starts at `cold_usd` each, of which the quoted
    month has `cold`, or, with `pods`, everything, which is pods' lifetime."""

    hours: Any
    keep_alive_h: float
    cold: int = 0
    cold_usd: float = 0.0
    pods: bool = False
    service_h: float = 0.0

    def usd_month(self, quoted_usd: float, quoted_calls: int, calls_month: float) -> float:
        """A month's calls, and pods, at another number of calls."""
        if self.pods:
            alive, quoted = (
                self.hours.alive_hours(calls, self.keep_alive_h, self.service_h)
                for calls in (calls_month, quoted_calls)
            )
            return quoted_usd * float(alive / quoted)
        warm = (quoted_usd - self.cold * self.cold_usd) / quoted_calls * calls_month
        if not self.cold:
            return warm
        starts, quoted = (
            self.hours.cold_starts(calls, self.keep_alive_h)
            for calls in (calls_month, quoted_calls)
        )
        return warm + self.cold * self.cold_usd * float(starts / quoted) if quoted else warm


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A month of it in parts: `calls` grow with the calls; `standing` are there without any
    (machines, alarms, storage) or serve to watch and to bill; `once` is the first year's indexing.
    `free` is what an otherwise empty account has free each month, negative and in no other sum.

    The marginal basis is `calls` alone; the loaded one is both. `instances` machines take
    `calls_max_month` together, None where they grow by themselves. `assumptions` are names.
    `millis` are p50 and p99 of a call in ms, None where nothing here can tell.
    """

    platform: str
    profile: str
    family: Family
    calls_month: int
    calls: tuple[Line, ...] = ()
    standing: tuple[Line, ...] = ()
    once: tuple[Line, ...] = ()
    free: tuple[Line, ...] = ()
    memory_mb: int | None = None
    vcpu_milli: int | None = None
    arch: str | None = None
    millis: tuple[float, float] | None = None
    cold_share: float | None = None
    utilisation: float | None = None
    instances: int | None = None
    calls_max_month: float | None = None
    growth: Growth | None = None
    assumptions: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()

    @property
    def marginal_usd_month(self) -> Decimal:
        return total(line.amount for line in self.calls)

    @property
    def usd_month(self) -> Decimal:
        """Fully loaded."""
        return EXACT.add(self.marginal_usd_month, total(line.amount for line in self.standing))

    @property
    def usd_once(self) -> Decimal:
        return total(line.amount for line in self.once)

    @property
    def usd_year(self) -> Decimal:
        """The first year, fully loaded: twelve months and what is done once."""
        return EXACT.add(EXACT.multiply(self.usd_month, MONTHS), self.usd_once)

    @property
    def marginal_usd_year(self) -> Decimal:
        """The first year's calls and what is done once, and nothing that stands or watches."""
        return EXACT.add(EXACT.multiply(self.marginal_usd_month, MONTHS), self.usd_once)

    @property
    def usd_year_free_tier(self) -> Decimal:
        """The first year in an account whose free tier nothing else uses."""
        free = total(line.amount for line in self.free)
        return EXACT.add(self.usd_year, EXACT.multiply(free, MONTHS))

    def usd_month_by_calls(self) -> Callable[[float], float]:
        """About what a month costs with so many calls a day: in proportion, machines by need."""
        growth, quoted, each = self.growth, self.calls_month, self.calls_max_month
        loaded_usd, calls_usd = float(self.usd_month), float(self.marginal_usd_month)
        standing_usd, machines = loaded_usd - calls_usd, self.instances or 1

        def usd_month(calls_per_day: float) -> float:
            calls_month = calls_per_day * DAYS_PER_YEAR / 12
            if growth and growth.pods:
                return growth.usd_month(loaded_usd, quoted, calls_month)
            needed = machines if each is None else max(1, math.ceil(calls_month * machines / each))
            standing = standing_usd * needed / machines
            if growth:
                return standing + growth.usd_month(calls_usd, quoted, calls_month)
            return standing + calls_usd / quoted * calls_month

        return usd_month

    def as_json(self) -> dict[str, object]:
        """Amounts are numbers to 6 places, and exact decimal strings under `exact`."""
        amounts = {
            "usd_month": self.usd_month,
            "usd_year": self.usd_year,
            "usd_month_marginal": self.marginal_usd_month,
            "usd_year_marginal": self.marginal_usd_year,
            "usd_once": self.usd_once,
            "usd_year_free_tier": self.usd_year_free_tier,
        }
        return {
            "platform": self.platform,
            "profile": self.profile,
            "family": self.family,
            "memory_mb": self.memory_mb,
            "vcpu_milli": self.vcpu_milli,
            "arch": self.arch,
            **{name: round(float(amount), USD_PLACES) for name, amount in amounts.items()},
            "p50_ms": self.millis[0] if self.millis else None,
            "p99_ms": self.millis[1] if self.millis else None,
            "cold_share": None if self.cold_share is None else round(self.cold_share, 9),
            "utilisation": None if self.utilisation is None else round(self.utilisation, 6),
            "instances": self.instances,
            "lines": {
                "calls": [line.as_json() for line in self.calls],
                "standing": [line.as_json() for line in self.standing],
                "once": [line.as_json() for line in self.once],
                "free": [line.as_json() for line in self.free],
            },
            "assumptions": list(self.assumptions),
            "not_covered": list(self.not_covered),
            "exact": {name: plain(amount) for name, amount in amounts.items()},
        }


def millis_of(run: Run) -> tuple[float, float]:
    """p50 and p99 of the simulated calls, in ms."""
    return run.p50_us / US_PER_MS, run.p99_us / US_PER_MS
