"""One way to keep instances warm, with its price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

# Resolved at run time by msgspec, which reads the annotations.
from farthing.billing.meter import Line
from farthing.money import plain, total
from farthing.planning.warmth.schedule import Window

if TYPE_CHECKING:
    from decimal import Decimal

US_PER_MS = 1000


class Target(msgspec.Struct, frozen=True):
    """Of a hundred calls 99 take at most `p99_ms`, and of a thousand 999 at most `p999_ms`."""

    p99_ms: float
    p999_ms: float | None = None

    def __str__(self) -> str:
        more = "" if self.p999_ms is None else f" and a p99.9 of {self.p999_ms:g} ms"
        return f"a p99 of {self.p99_ms:g} ms{more}"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """`kept` instances are kept warm, in `window` if it has one, else always. `actions`
    spell the window as the platform takes it.

    `lines` are a month of the calls and of what keeps instances warm. Times are in ms, with
    waiting for a start.
    """

    name: str
    profile: str
    kept: int
    lines: tuple[Line, ...]
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cold_share: float
    reaches: bool
    window: Window | None = None
    actions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def usd_month(self) -> Decimal:
        return total(line.amount for line in self.lines)

    def as_json(self) -> dict[str, object]:
        """Amounts are plain decimal strings."""
        return {
            "way": self.name,
            "profile": self.profile,
            "kept": self.kept,
            "usd_month": plain(self.usd_month),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "p999_ms": self.p999_ms,
            "cold_share": round(self.cold_share, 9),
            "reaches": self.reaches,
            "window": None if self.window is None else self.window.as_json(),
            "schedule": list(self.actions),
            "lines": [line.as_json() for line in self.lines],
        }
