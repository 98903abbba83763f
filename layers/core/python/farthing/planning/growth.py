"""How cold starts and idle pods grow with the calls, in closed form: for break-even points.

Of calls that come by chance, at `r` an hour, the share that finds the one instance gone after it
idled `k` hours is exp(-r k), the chance of so long a gap; and the instance is there for the share
1 - exp(-r k) of the time. Busier hours have more instances, at 70 % of their time. The simulation
at the quoted number of calls sets the scale.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UTILISATION = 0.7
# Hours are told apart to so many places of their share of the month's calls.
PLACES = 9


class Hours:
    """The month's hours, by their share of its calls."""

    def __init__(self, by_hour: Sequence[float]) -> None:
        whole = sum(by_hour)
        self._shares = tuple(Counter(round(calls / whole, PLACES) for calls in by_hour).items())
        self._known: dict[tuple[str, float, float, float], float] = {}

    def cold_starts(self, calls_month: float, keep_alive_h: float) -> float:
        """How many of a month's calls find no instance."""
        key = ("cold", calls_month, keep_alive_h, 0.0)
        if key not in self._known:
            self._known[key] = sum(
                hours * calls_month * share * math.exp(-calls_month * share * keep_alive_h)
                for share, hours in self._shares
            )
        return self._known[key]

    def alive_hours(self, calls_month: float, keep_alive_h: float, service_h: float) -> float:
        """Hours of all instances together, from their starts to their ends."""
        key = ("alive", calls_month, keep_alive_h, service_h)
        if key not in self._known:
            self._known[key] = sum(
                hours
                * max(
                    1 - math.exp(-calls_month * share * keep_alive_h),
                    calls_month * share * service_h / UTILISATION,
                )
                for share, hours in self._shares
            )
        return self._known[key]
