"""Instances that are kept warm: by pings, by a floor for some hours, or not at all.

Calls are simulated one by one. A call takes a floor instance that is free, else the instance that
was used last, else a new one, which is a cold start. Pings are calls of the house: so many come at
once, each meets another instance, and one that finds none free starts one.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace, nsmallest
from typing import TYPE_CHECKING

import msgspec

from farthing.planning.warmth.history import WEEK_HOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.planning.warmth.history import History

US_PER_MS = 1000
NEVER = -1
# Of its interval the first ping waits so much: pings do not fall on the round moments of a trace.
PHASE_PERCENT = 38


class Fleet(msgspec.Struct, frozen=True):
    """An instance is ready `start_us` (not billed) and `init_us` (billed) after it is needed.

    `floors` are how many stand ready in each hour of the week, none where it is empty. Every
    `ping_every_us` come `pings` at once, each computing or held for `ping_us`.
    """

    start_us: int
    init_us: int
    keep_us: int
    floors: tuple[int, ...] = ()
    pings: int = 0
    ping_every_us: int = 1
    ping_us: int = 0


class Warmed(msgspec.Struct, frozen=True):
    """What happened. `billed_ms` rounds each call up with its own init, `floor_billed_ms` is of
    the calls on floor instances and a part of it; `alive_us` is how long other instances lived.

    `cold_by_hour` counts cold calls by their hour of the week.
    """

    calls: int
    cold_by_hour: tuple[int, ...]
    billed_ms: int
    floor_billed_ms: int
    alive_us: int
    pings: int
    pings_cold: int
    pings_billed_ms: int
    p50_us: int
    p99_us: int
    p999_us: int

    @property
    def cold(self) -> int:
        return sum(self.cold_by_hour)


def simulate(history: History, services_us: Sequence[int], fleet: Fleet) -> Warmed:
    """The history's calls, which take so long each, on this fleet."""
    pool = _Pool(fleet)
    latencies: list[int] = []
    cold_by_hour = [0] * WEEK_HOURS
    floors, size, of_week = fleet.floors, 0, -1
    slots: list[int] = []  # when floor instances become free
    billed_ms = floor_billed_ms = 0
    next_ping_us = fleet.ping_every_us * PHASE_PERCENT // 100
    for at_us, service_us, hour in zip(
        history.arrivals_us, services_us, history.hours, strict=True
    ):
        while fleet.pings and next_ping_us <= at_us:
            pool.ping(next_ping_us)
            next_ping_us += fleet.ping_every_us
        if floors and hour != of_week:
            of_week = hour
            if floors[hour] < size:
                slots = nsmallest(floors[hour], slots)
            slots += [NEVER] * (floors[hour] - len(slots))
            heapify(slots)
            size = floors[hour]
        whole_ms = -(-service_us // US_PER_MS)
        billed_ms += whole_ms
        if slots and slots[0] <= at_us:
            heapreplace(slots, at_us + service_us)
            floor_billed_ms += whole_ms
            latencies.append(service_us)
            continue
        wait_us = pool.wait_us(at_us)
        if wait_us:
            cold_by_hour[hour] += 1
            billed_ms += -(-(service_us + fleet.init_us) // US_PER_MS) - whole_ms
        latencies.append(wait_us + service_us)
        pool.run(at_us, wait_us + service_us, fleet.start_us if wait_us else 0)
    while fleet.pings and next_ping_us < history.span_us:
        pool.ping(next_ping_us)
        next_ping_us += fleet.ping_every_us
    pool.end(history.span_us)
    latencies.sort()
    return Warmed(
        calls=len(latencies),
        cold_by_hour=tuple(cold_by_hour),
        billed_ms=billed_ms,
        floor_billed_ms=floor_billed_ms,
        alive_us=pool.alive_us,
        pings=pool.pings,
        pings_cold=pool.pings_cold,
        pings_billed_ms=pool.pings_billed_ms,
        p50_us=_quantile(latencies, 500),
        p99_us=_quantile(latencies, 990),
        p999_us=_quantile(latencies, 999),
    )


class _Pool:
    """Instances that start when they are needed and stop when they idled too long."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._busy: list[int] = []  # when running calls end
        self._free: list[int] = []  # since when others idle; the last is the latest
        self.alive_us = 0
        self.pings = self.pings_cold = self.pings_billed_ms = 0

    def wait_us(self, at_us: int) -> int:
        """Takes an instance; 0 where one is warm, else the time until a new one is ready."""
        busy, free, keep_us = self._busy, self._free, self._fleet.keep_us
        while busy and busy[0] <= at_us:
            free.append(heappop(busy))
        if free:
            idle_us = at_us - free[-1]
            if idle_us <= keep_us:
                self.alive_us += idle_us
                free.pop()
                return 0
            # The one used last idled too long, and so did all before it.
            self.alive_us += len(free) * keep_us
            free.clear()
        return max(1, self._fleet.start_us + self._fleet.init_us)

    def run(self, at_us: int, taken_us: int, starting_us: int) -> None:
        self.alive_us += taken_us - starting_us
        heappush(self._busy, at_us + taken_us)

    def ping(self, at_us: int) -> None:
        fleet = self._fleet
        # All are taken before any runs: they come at once.
        waits = [self.wait_us(at_us) for _ in range(fleet.pings)]
        for wait_us in waits:
            self.run(at_us, wait_us + fleet.ping_us, fleet.start_us if wait_us else 0)
            billed_us = fleet.ping_us + (fleet.init_us if wait_us else 0)
            self.pings_billed_ms += -(-billed_us // US_PER_MS)
            self.pings_cold += wait_us > 0
        self.pings += fleet.pings

    def end(self, span_us: int) -> None:
        keep_us = self._fleet.keep_us
        since = self._free + self._busy
        self.alive_us += sum(min(keep_us, max(0, span_us - at_us)) for at_us in since)


def _quantile(ordered: Sequence[int], of_thousand: int) -> int:
    """The nearest-rank quantile of sorted values."""
    return ordered[-(-len(ordered) * of_thousand // 1000) - 1]
