"""The simulated fleets, held against one that is written out instance by instance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farthing.planning.simulation import Elastic, Fixed, Run, simulate
from farthing.planning.traffic import Traffic

HOUR_US = 3_600_000_000


def traffic_at(arrivals_us: list[int], services_us: list[int] | None = None) -> Traffic:
    span_us = max(arrivals_us) + 1
    return Traffic(arrivals_us, span_us, len(arrivals_us), (1.0,), (), services_us)


class Instance:
    def __init__(self, floor: bool) -> None:
        self.floor = floor
        self.ends_us = -1
        self.taken: list[tuple[int, int]] = []


def by_hand(
    arrivals_us: list[int], services_us: list[int], fleet: Elastic
) -> tuple[list[int], int, list[Instance]]:
    """Latencies, cold starts and instances: the floor first, then the one that was used last."""
    instances = [Instance(floor=True) for _ in range(fleet.floor)]
    latencies, cold = [], 0
    for at_us, service_us in zip(arrivals_us, services_us, strict=True):
        idle = [one for one in instances if one.ends_us <= at_us]
        ready = [one for one in idle if one.floor]
        warm = [one for one in idle if not one.floor and at_us - one.ends_us <= fleet.keep_alive_us]
        wait_us = 0
        if ready:
            chosen = min(ready, key=lambda one: one.ends_us)
        elif warm:
            chosen = max(warm, key=lambda one: one.ends_us)
        else:
            chosen = Instance(floor=False)
            instances.append(chosen)
            cold += 1
            wait_us = fleet.start_us + fleet.init_us
        chosen.ends_us = at_us + wait_us + service_us
        chosen.taken.append((at_us, chosen.ends_us))
        latencies.append(wait_us + service_us)
    return latencies, cold, instances


calls = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(1, 900)), min_size=1, max_size=60
).map(sorted)
fleets = st.builds(
    Elastic,
    start_us=st.integers(0, 300),
    init_us=st.integers(0, 500),
    keep_alive_us=st.integers(0, 1_200),
    floor=st.integers(0, 3),
)


@given(calls, fleets)
def test_an_elastic_fleet_does_what_it_does_written_out_by_hand(
    rows: list[tuple[int, int]], fleet: Elastic
) -> None:
    arrivals, services = [at for at, _ in rows], [taken for _, taken in rows]
    # A trace's own times are stretched by their mean; at the mean itself not at all.
    whole = sum(services)
    run = simulate(traffic_at(arrivals, [own * len(rows) for own in services]), whole, fleet)
    services = [own * len(rows) for own in services]
    latencies, cold, instances = by_hand(arrivals, services, fleet)
    ordered = sorted(latencies)
    assert run.calls == len(rows)
    assert run.cold == cold == len([one for one in instances if not one.floor])
    assert run.busy_us == sum(services)
    assert run.init_us == cold * fleet.init_us
    assert run.p50_us == ordered[-(-len(ordered) // 2) - 1]
    assert run.p99_us == ordered[-(-len(ordered) * 99 // 100) - 1]
    # One call at a time: what an instance took never overlaps.
    for instance in instances:
        for (_, ends), (begins, _) in zip(instance.taken, instance.taken[1:], strict=False):
            assert ends <= begins


@given(calls, fleets)
def test_time_is_conserved(rows: list[tuple[int, int]], fleet: Elastic) -> None:
    """What calls took is computing, starting and initialising; what is left of lives is idle."""
    arrivals = [at for at, _ in rows]
    service_us = 700
    run = simulate(traffic_at(arrivals), service_us, fleet)
    latencies, cold, instances = by_hand(arrivals, [service_us] * len(rows), fleet)
    assert sum(latencies) == run.busy_us + run.init_us + cold * fleet.start_us
    span_us = max(arrivals) + 1
    idle_us = 0
    for one in instances:
        if one.floor:
            continue
        gaps = zip(one.taken, one.taken[1:], strict=False)
        idle_us += sum(begins - ends for (_, ends), (begins, _) in gaps)
        last_us = one.taken[-1][1]
        # Gone before a later call looked for one, it idled all of its keep-alive.
        late = any(at - last_us > fleet.keep_alive_us for at in arrivals)
        left_us = max(0, span_us - last_us)
        idle_us += fleet.keep_alive_us if late else min(fleet.keep_alive_us, left_us)
    assert run.idle_us == idle_us


@given(calls, st.integers(1, 4), st.integers(1, 900))
def test_a_fixed_fleet_computes_no_more_calls_at_once_than_it_has_slots(
    rows: list[tuple[int, int]], slots: int, service_us: int
) -> None:
    arrivals = [at for at, _ in rows]
    run = simulate(traffic_at(arrivals), service_us, Fixed(slots))
    # First come, first served by whichever slot is free first.
    free = [0] * slots
    latencies = []
    for at_us in arrivals:
        slot = free.index(min(free))
        free[slot] = max(at_us, free[slot]) + service_us
        latencies.append(free[slot] - at_us)
    assert run.p50_us == sorted(latencies)[-(-len(latencies) // 2) - 1]
    assert (run.calls, run.cold, run.busy_us) == (len(rows), 0, service_us * len(rows))
    assert run.peak <= slots


def test_each_call_is_billed_in_whole_milliseconds_with_its_own_init() -> None:
    # At 0 cold: 1.2 + 250.9 = 252.1 ms, billed 253; at 1 s warm: 1.2 ms, billed 2; at 10 s the
    # instance idled longer than 5 s: cold again.
    traffic = traffic_at([0, 1_000_000, 10_000_000])
    run = simulate(traffic, 1_200, Elastic(100_000, 250_900, 5_000_000))
    assert (run.cold, run.billed_ms) == (2, 253 + 2 + 253)


def test_a_floor_takes_calls_before_any_other_and_is_never_cold() -> None:
    traffic = traffic_at([0, 10, 20, 5_000])
    run: Run = simulate(traffic, 1_000, Elastic(7, 5, 100, floor=2))
    assert (run.floor_calls, run.cold, run.peak) == (3, 1, 3)
    assert run.floor_billed_ms == 3
