"""Simulations of one trace on one site, each fleet once, and searches among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.planning.case import SECONDS_PER_MONTH
from farthing.planning.warmth.fleet import Fleet, Warmed, simulate
from farthing.planning.warmth.history import WEEK_HOURS
from farthing.planning.warmth.schedule import HOURS_MAX, Window, coldest, scheduled
from farthing.planning.warmth.ways import US_PER_MS, Target, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.planning.warmth.history import History
    from farthing.planning.warmth.sites import Site

KEPT_MAX = 64
MINUTES_PER_WEEK = WEEK_HOURS * 60


class Trials:
    """Simulates each distinct fleet once."""

    def __init__(
        self, history: History, site: Site, target: Target, progress: Callable[[int], None]
    ) -> None:
        self.history, self.site, self._target = history, site, target
        self._progress = progress
        self._runs: dict[Fleet, Warmed] = {}
        own = history.services_us
        if own:
            # A trace's own times are those at one full vCPU, and keep their proportions.
            whole, calls = sum(own), len(own)
            self._services = [max(1, us * site.service_us * calls // whole) for us in own]
        else:
            self._services = [site.service_us] * len(history.arrivals_us)

    def run(self, fleet: Fleet) -> Warmed:
        if fleet not in self._runs:
            self._runs[fleet] = simulate(self.history, self._services, fleet)
            self._progress(len(self._runs))
        return self._runs[fleet]

    def reaches(self, run: Warmed) -> bool:
        target = self._target
        if run.p99_us > target.p99_ms * US_PER_MS:
            return False
        return target.p999_ms is None or run.p999_us <= target.p999_ms * US_PER_MS

    def fewest(self, fleet_of: Callable[[int], Fleet]) -> int:
        """The fewest instances with which the target is reached; else those with the best p99."""
        high, tried = 1, []
        while not self.reaches(run := self.run(fleet_of(high))):
            tried.append((run.p99_us, run.p999_us, high))
            if high >= KEPT_MAX or run.cold == 0:
                return min(tried)[2]
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self.reaches(self.run(fleet_of(middle))):
                high = middle
            else:
                low = middle
        return high

    def fleet_in(self, window: Window, kept: int) -> Fleet:
        """So many ready instances in this window, none in other hours."""
        covered = window.of_week
        return self.site.fleet(tuple(kept * (hour in covered) for hour in range(WEEK_HOURS)))

    def shortest(self, days: tuple[int, ...], kept: int) -> Window | None:
        """The shortest window of these days with which the target is reached; None for none."""
        cold = self.run(self.site.fleet()).cold_by_hour
        best, low, high = None, 1, HOURS_MAX
        while low <= high:
            middle = (low + high) // 2
            window = coldest(cold, days, middle)
            if self.reaches(self.run(self.fleet_in(window, kept))):
                best, high = window, middle - 1
            else:
                low = middle + 1
        return best

    def way(
        self,
        name: str,
        profile: str,
        fleet: Fleet,
        *,
        snapshot: bool = False,
        window: Window | None = None,
    ) -> Way:
        run, site = self.run(fleet), self.site
        kept = max(fleet.floors, default=fleet.pings)
        kept_s = SECONDS_PER_MONTH if fleet.floors else 0
        if window is not None:
            kept_s = -(-SECONDS_PER_MONTH * window.minutes_week // MINUTES_PER_WEEK)
        assumed = []
        if snapshot:
            assumed.append("lambda.restore")
        if fleet.pings:
            assumed.append("warm.hold-ms" if fleet.pings > 1 else "warm.ping-ms")
        pings = fleet.pings * site.pings_month
        return Way(
            name=name,
            profile=profile,
            kept=kept,
            lines=tuple(site.lines(self.history, run, kept * kept_s, pings, snapshot=snapshot)),
            p50_ms=run.p50_us / US_PER_MS,
            p99_ms=run.p99_us / US_PER_MS,
            p999_ms=run.p999_us / US_PER_MS,
            cold_share=run.cold / run.calls,
            reaches=self.reaches(run),
            window=window,
            actions=() if window is None else scheduled(site.name, window, kept),
            assumptions=tuple(assumed),
        )
