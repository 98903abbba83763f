"""Cold starts, waiting and idle time of a fleet of instances under given arrivals.

Two fleets are simulated, call by call. An elastic one starts an instance for each call that finds
none free, and stops those that idled too long; each takes one call at a time, and the one that
was used last is used first. A fixed one has so many slots, and calls wait for them in their order.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farthing.planning.traffic import Traffic

US_PER_MS = 1000
NEVER = -1


class Elastic(msgspec.Struct, frozen=True):
    """An instance is ready `start_us` (not billed) and `init_us` (billed) after it is needed.

    `floor` instances stand ready from the beginning and are used first.
    """

    start_us: int
    init_us: int
    keep_alive_us: int
    floor: int = 0


class Fixed(msgspec.Struct, frozen=True):
    """`slots` calls are computed at once, and no more."""

    slots: int


class Run(msgspec.Struct, frozen=True):
    """What happened, in whole microseconds.

    `busy_us` is computing, `init_us` initialising, `idle_us` what elastic instances were kept
    without a call, until the end of the traffic. `billed_ms` rounds each call up with its own
    init; the `floor_` figures are of the calls that a floor instance took, and part of the others.
    `peak` is the most calls at once.
    """

    calls: int
    cold: int
    busy_us: int
    init_us: int
    idle_us: int
    billed_ms: int
    floor_calls: int
    floor_billed_ms: int
    peak: int
    p50_us: int
    p99_us: int

    @property
    def cold_share(self) -> float:
        return self.cold / self.calls if self.calls else 0.0


def simulate(traffic: Traffic, service_us: int, fleet: Elastic | Fixed) -> Run:
    """The traffic's calls on this fleet; each takes `service_us`, or its own time in proportion.

    A trace's own times are those at one full vCPU, and are stretched as their mean is to
    `service_us`.
    """
    arrivals = traffic.arrivals_us
    calls = len(arrivals)
    if traffic.services_us:
        whole = sum(traffic.services_us)
        services = [max(1, own * service_us * calls // whole) for own in traffic.services_us]
    else:
        services = [service_us] * calls
    if isinstance(fleet, Fixed):
        return _fixed(arrivals, services, fleet)
    return _elastic(arrivals, services, fleet, traffic.span_us)


def _elastic(
    arrivals_us: Sequence[int], services_us: list[int], fleet: Elastic, span_us: int
) -> Run:
    keep_us, init_us = fleet.keep_alive_us, fleet.init_us
    wait_us = fleet.start_us + init_us
    last_end_us = none_us = -keep_us - 1  # when the call that began last ends; none is long ago
    busy: list[int] = []  # when the other running calls end
    free: list[int] = []  # since when other instances idle; the last is the latest
    floor = [NEVER] * fleet.floor  # when floor instances become free
    on_floor: list[int] = []
    cold: list[int] = []
    idle_us = peak = 0
    calls = range(len(arrivals_us))
    for call, at_us, service_us in zip(calls, arrivals_us, services_us, strict=True):
        if floor and floor[0] <= at_us:
            heapreplace(floor, at_us + service_us)
            on_floor.append(call)
            continue
        gap_us = at_us - last_end_us
        # Mostly the call before is over and no other runs: its instance idles since last.
        if not busy and 0 <= gap_us <= keep_us:
            idle_us += gap_us
            last_end_us = at_us + service_us
            continue
        if last_end_us != none_us:
            heappush(busy, last_end_us)
        while busy and busy[0] <= at_us:
            free.append(heappop(busy))
        if free and at_us - free[-1] <= keep_us:
            idle_us += at_us - free.pop()
            last_end_us = at_us + service_us
        else:
            # None is free: had the last one used idled too long, so had all before it.
            idle_us += len(free) * keep_us
            free.clear()
            cold.append(call)
            last_end_us = at_us + wait_us + service_us
        peak = max(peak, len(busy) + 1)
    if last_end_us != none_us:
        busy.append(last_end_us)
    idle_us += sum(min(keep_us, max(0, span_us - since_us)) for since_us in free + busy)
    floor_billed_ms = _billed_ms(services_us[call] for call in on_floor)
    billed_ms = _billed_ms(services_us)
    latencies = services_us.copy()
    for call in cold:
        billed_ms += _whole_ms(services_us[call] + init_us) - _whole_ms(services_us[call])
        latencies[call] += wait_us
    latencies.sort()
    return Run(
        calls=len(latencies),
        cold=len(cold),
        busy_us=sum(services_us),
        init_us=len(cold) * init_us,
        idle_us=idle_us,
        billed_ms=billed_ms,
        floor_calls=len(on_floor),
        floor_billed_ms=floor_billed_ms,
        peak=peak + (fleet.floor if on_floor else 0),
        p50_us=_quantile(latencies, 50),
        p99_us=_quantile(latencies, 99),
    )


def _fixed(arrivals_us: Sequence[int], services_us: list[int], fleet: Fixed) -> Run:
    slots = [NEVER] * fleet.slots  # when each becomes free
    latencies: list[int] = []
    for at_us, service_us in zip(arrivals_us, services_us, strict=True):
        first_us = slots[0]
        end_us = (first_us if first_us > at_us else at_us) + service_us
        heapreplace(slots, end_us)
        latencies.append(end_us - at_us)
    latencies.sort()
    billed_ms = _billed_ms(services_us)
    return Run(
        calls=len(latencies),
        cold=0,
        busy_us=sum(services_us),
        init_us=0,
        idle_us=0,
        billed_ms=billed_ms,
        floor_calls=len(latencies),
        floor_billed_ms=billed_ms,
        peak=min(len(slots), len(latencies)),
        p50_us=_quantile(latencies, 50),
        p99_us=_quantile(latencies, 99),
    )


def _billed_ms(taken_us: Iterable[int]) -> int:
    """Each rounded up to whole ms, and summed; mostly they are all the same."""
    return sum(_whole_ms(us) * times for us, times in Counter(taken_us).items())


def _whole_ms(taken_us: int) -> int:
    return -(-taken_us // US_PER_MS)


def _quantile(ordered: Sequence[int], percent: int) -> int:
    """The nearest-rank quantile of sorted values."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else 0
