"""One setting of the cache, with what it answers and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Line
from farthing.money import EXACT, plain, total

if TYPE_CHECKING:
    from decimal import Decimal

US_PER_MS = 1000


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of the cache. `local` and `remote` are shares of the calls, 0 to 1, that it
    answers in the process and beside it; `ms` is the mean time of a warm call.

    `pays_from` is the calls a day from which it costs less than the process's own cache alone,
    at these shares; None where it never does, or is no store.
    """

    name: str
    cache: str
    local: float
    remote: float
    ms: float
    computing: tuple[Line, ...]
    store: tuple[Line, ...] = ()
    pays_from: float | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def computing_usd(self) -> Decimal:
        return total(line.amount for line in self.computing)

    @property
    def store_usd(self) -> Decimal:
        return total(line.amount for line in self.store)

    @property
    def usd_month(self) -> Decimal:
        return EXACT.add(self.computing_usd, self.store_usd)

    def as_json(self) -> dict[str, object]:
        """Amounts are plain decimal strings."""
        return {
            "name": self.name,
            "cache": self.cache,
            "hit_ratio": round(self.local + self.remote, 9),
            "hit_ratio_in_process": round(self.local, 9),
            "mean_ms": round(self.ms, 6),
            "usd_month": plain(self.usd_month),
            "usd_month_computing": plain(self.computing_usd),
            "usd_month_store": plain(self.store_usd),
            "pays_from_calls_a_day": self.pays_from,
            "lines": [line.as_json() for line in (*self.computing, *self.store)],
        }
