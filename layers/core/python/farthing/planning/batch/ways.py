"""One way to run a batch, with its price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Line
from farthing.money import plain, total

if TYPE_CHECKING:
    from farthing.planning.assumptions import Assumptions
    from farthing.planning.batch.run import Run
    from farthing.planning.rates import Rates

S_PER_HOUR = 3600


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run it. `usd` is all of it; nothing stands before or after. `hours` is until
    the last row is there. `in_time` is false where the deadline is missed."""

    platform: str
    profile: str
    workers: int
    hours: float
    lines: tuple[Line, ...]
    in_time: bool
    assumptions: tuple[str, ...]
    not_covered: tuple[str, ...] = ()

    @property
    def usd(self) -> Decimal:
        return total(line.amount for line in self.lines)

    def as_json(self, rows: int) -> dict[str, object]:
        """Amounts are plain decimal strings."""
        return {
            "platform": self.platform,
            "profile": self.profile,
            "workers": self.workers,
            "hours": self.hours,
            "in_time": self.in_time,
            "usd": plain(self.usd),
            "usd_per_million_rows": plain(self.per_million(rows)),
            "lines": [line.as_json() for line in self.lines],
            "not_covered": list(self.not_covered),
        }

    def per_million(self, rows: int) -> Decimal:
        """Dollars for a million such rows, to nine places."""
        return (self.usd * 1_000_000 / rows).quantize(Decimal("1e-9"))


class Setting(NamedTuple):
    """What every way is made from."""

    run: Run
    rates: Rates
    assumptions: Assumptions
