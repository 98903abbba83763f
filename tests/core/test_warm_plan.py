"""What keeping instances warm costs: fleets by hand, prices by arithmetic, windows by rule."""

from __future__ import annotations

import gzip
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.prices import read_price_book
from farthing.errors import PriceMissing
from farthing.planning.assumptions import read_assumptions
from farthing.planning.errors import PlanningError
from farthing.planning.rates import Rates
from farthing.planning.traffic import SIMULATED_MAX
from farthing.planning.warmth.fleet import Fleet, simulate
from farthing.planning.warmth.history import WEEK_HOURS, History, hour_of_week, read_history
from farthing.planning.warmth.plan import WarmPlan, plan_warmth
from farthing.planning.warmth.schedule import Window, begin_of, end_of, scheduled
from farthing.planning.warmth.sites import SITES, Site
from farthing.planning.warmth.ways import Target, Way
from farthing.planning.work import Work

HOUR_S = 3600
MONDAY_S = 1_793_577_600  # 2026-11-02 00:00 UTC, a Monday
MONTH_S = 730 * 3600
WORK = Work(
    name="stated",
    task="classify",
    busy_ms=4.0,
    init_ms=300.0,
    peak_mb=100,
    tokens=8,
    source="stated",
)


def history_at(arrivals_us: list[int], hours: list[int] | None = None) -> History:
    return History(
        arrivals_us,
        hours or [0] * len(arrivals_us),
        max(arrivals_us) + 1,
        len(arrivals_us),
        (1.0,) * WEEK_HOURS,
        1.0,
        (),
    )


def site(platform: str = "lambda", memory_mb: int = 1769, region: str = "us-east-1") -> Site:
    rates = Rates(read_price_book(planning=True), region)
    return SITES[platform](WORK, rates, read_assumptions(), memory_mb, "x86_64")


def trace_of(folder: Path, seconds: list[float]) -> Path:
    file = folder / "trace.csv"
    file.write_text("timestamp\n" + "\n".join(f"{at:.3f}" for at in seconds) + "\n")
    return file


def by_hand(
    arrivals: list[tuple[int, int, int]], fleet: Fleet, span_us: int
) -> tuple[list[int], list[bool], int, int]:
    """Latencies, which calls were cold, cold pings and how long instances lived, one by one."""
    floor: list[int] = []
    elastic: list[int] = []  # when each is free
    latencies, cold = [], []
    cold_pings, alive_us = 0, 0

    def take(at_us: int, taken_us: int) -> int:
        nonlocal alive_us
        free = [when for when in elastic if when <= at_us <= when + fleet.keep_us]
        if free:
            chosen = max(free)
            alive_us += at_us - chosen + taken_us
            elastic[elastic.index(chosen)] = at_us + taken_us
            return 0
        wait_us = fleet.start_us + fleet.init_us
        alive_us += fleet.init_us + taken_us
        elastic.append(at_us + wait_us + taken_us)
        return wait_us

    events = [(at_us, 1, service_us, hour) for at_us, service_us, hour in arrivals]
    if fleet.pings:
        events += [
            (at_us, 0, 0, 0)
            for at_us in range(fleet.ping_every_us * 38 // 100, span_us, fleet.ping_every_us)
        ]
    hour_now = -1
    # At one instant the ping is first, as it is in the simulation.
    for at_us, kind, service_us, hour in sorted(events, key=lambda event: event[:2]):
        if kind == 0:
            # All at once: none is free again before the last is taken.
            for _ in range(fleet.pings):
                cold_pings += take(at_us, fleet.ping_us) > 0
            continue
        if fleet.floors and hour != hour_now:
            hour_now = hour
            kept = sorted(floor)[: fleet.floors[hour]]
            floor = kept + [-1] * (fleet.floors[hour] - len(kept))
        ready = [number for number, free_us in enumerate(floor) if free_us <= at_us]
        wait_us = 0
        if ready:
            chosen = min(ready, key=lambda number: floor[number])
            floor[chosen] = at_us + service_us
        else:
            wait_us = take(at_us, service_us)
        latencies.append(wait_us + service_us)
        cold.append(wait_us > 0)
    # Every instance idles after its last call, until it is stopped or the traffic ends.
    alive_us += sum(min(fleet.keep_us, max(0, span_us - free)) for free in elastic)
    return latencies, cold, cold_pings, alive_us


calls = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(1, 900), st.integers(0, 2)),
    min_size=1,
    max_size=50,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
fleets = st.builds(
    Fleet,
    start_us=st.integers(1, 300),
    init_us=st.integers(0, 500),
    keep_us=st.integers(0, 1_200),
    floors=st.one_of(
        st.just(()),
        st.lists(st.integers(0, 3), min_size=3, max_size=3).map(
            lambda some: (*some, *([0] * (WEEK_HOURS - 3)))
        ),
    ),
    pings=st.integers(0, 3),
    ping_every_us=st.integers(50, 900),
    ping_us=st.integers(1, 200),
)


@settings(max_examples=300, deadline=None)
@given(calls, fleets)
def test_calls_pings_and_floors_are_as_they_are_instance_by_instance(
    arrivals: list[tuple[int, int, int]], fleet: Fleet
) -> None:
    history = history_at([at for at, _, _ in arrivals], [hour for _, _, hour in arrivals])
    services = [service for _, service, _ in arrivals]
    run = simulate(history, services, fleet)
    latencies, cold, cold_pings, alive_us = by_hand(arrivals, fleet, history.span_us)
    assert run.calls == len(arrivals)
    assert run.cold == sum(cold)
    assert run.pings_cold == cold_pings
    assert run.p50_us == sorted(latencies)[-(-len(latencies) // 2) - 1]
    assert run.p99_us == sorted(latencies)[-(-len(latencies) * 99 // 100) - 1]
    for hour in range(3):
        of_hour = [was for was, row in zip(cold, arrivals, strict=True) if row[2] == hour]
        assert run.cold_by_hour[hour] == sum(of_hour)
    assert run.alive_us == alive_us


def hourly(folder: Path, weeks: int = 2) -> History:
    """A call each hour, which every platform answers cold."""
    calls_s = [MONDAY_S + HOUR_S * hour + 1800 for hour in range(weeks * WEEK_HOURS)]
    return read_history(trace_of(folder, calls_s))


def way_of(plan: WarmPlan, name: str) -> Way:
    return next(way for way in plan.ways if way.name == name)


def test_lambdas_ways_cost_what_the_price_page_says(tmp_path: Path) -> None:
    """1,769 MB is one vCPU: 4 ms a call, 300 ms of billed init, all calls cold when not kept."""
    plan = plan_warmth(hourly(tmp_path), site(), Target(250.0))
    gb = Fraction(1769, 1024)
    request, duration = Fraction(2, 10**7), Fraction(166667, 10**10)
    month_calls = 730  # one each hour
    plain = month_calls * request + month_calls * Fraction(304, 1000) * gb * duration
    assert Fraction(way_of(plan, "plain").usd_month) == plain
    pings_month = MONTH_S // 240
    # Only the first call of the 336 is cold, and no ping: it finds that call's instance.
    billed_ms = (336 * 4 + 300) * month_calls
    billed_ms = (billed_ms + 168) // 336 + pings_month * 2
    pings = (month_calls + pings_month) * request
    pings += Fraction(billed_ms, 1000) * gb * duration
    assert Fraction(way_of(plan, "pings").usd_month) == pings
    restored = Fraction(month_calls) * gb * Fraction(1397998, 10**10)
    snapshot = month_calls * request + month_calls * Fraction(204, 1000) * gb * duration
    snapshot += restored + MONTH_S * gb * Fraction(15046, 10**10)
    assert Fraction(way_of(plan, "snapshot").usd_month) == snapshot
    floor = month_calls * request + MONTH_S * gb * Fraction(41667, 10**10)
    floor += month_calls * Fraction(4, 1000) * gb * Fraction(97222, 10**10)
    assert Fraction(way_of(plan, "floor").usd_month) == floor
    assert plan.cheapest is not None
    assert plan.cheapest.name == "pings"
    assert way_of(plan, "plain").p99_ms == 404.0
    assert (way_of(plan, "snapshot").p99_ms, way_of(plan, "snapshot").reaches) == (304.0, False)


def test_function_computes_floor_idles_for_its_memory_alone(tmp_path: Path) -> None:
    plan = plan_warmth(hourly(tmp_path), site("fc", 1024), Target(250.0))
    unit = Fraction(2, 10**5)
    active = 730 * Fraction(4, 1000)  # vCPU-seconds of one vCPU
    memory = Fraction(15, 100)
    plain = (730 * Fraction(75, 10_000) + active + active * memory) * unit
    assert Fraction(way_of(plan, "plain").usd_month) == plain
    floor = (730 * Fraction(75, 10_000) + active + MONTH_S * memory) * unit
    assert Fraction(way_of(plan, "floor").usd_month) == floor
    assert [name for name, _ in plan.left_out] == ["snapshot", "schedule"]


def test_knatives_pods_cost_what_they_live(tmp_path: Path) -> None:
    plan = plan_warmth(hourly(tmp_path), site("knative", 1024), Target(250.0))
    # 300 ms of loading, 4 ms of computing, 120 s of waiting for another call.
    alive_s = 730 * (Fraction(304, 1000) + 120)
    vcpu, gb = Fraction(10163729660, 10**15), Fraction(1116051836, 10**15)
    assert Fraction(way_of(plan, "plain").usd_month) == alive_s * (vcpu + gb)
    assert Fraction(way_of(plan, "floor").usd_month) == MONTH_S * (vcpu + gb)


def office_hours(folder: Path, every_s: int = 600) -> History:
    """Calls each ten minutes from 9 to 17 on working days, for two weeks, and none else."""
    calls_s = [
        MONDAY_S + (day * 24 + 9) * HOUR_S + turn * every_s
        for day in range(14)
        if day % 7 < 5
        for turn in range(8 * HOUR_S // every_s)
    ]
    return read_history(trace_of(folder, [*calls_s, MONDAY_S + 14 * 24 * HOUR_S - 1]))


def test_a_schedule_covers_the_hours_in_which_calls_come(tmp_path: Path) -> None:
    plan = plan_warmth(office_hours(tmp_path), site(), Target(50.0))
    way = way_of(plan, "schedule")
    assert way.window == Window((0, 1, 2, 3, 4), 9, 8)
    assert way.kept == 1
    assert way.reaches
    kept_s = -(-MONTH_S * 5 * (8 * 60 + 5) // (168 * 60))
    held = next(line for line in way.lines if line.rule == "lambda.provisioned.x86_64")
    assert Fraction(held.quantity) == kept_s * Fraction(1769, 1024)
    assert way.usd_month < way_of(plan, "floor").usd_month
    assert way.actions == (
        "Profile=warm",
        "WarmEnvironments=1",
        "WarmFrom='cron(55 8 ? * MON-FRI *)'",
        "WarmUntil='cron(0 17 ? * MON-FRI *)'",
        "WarmTimezone=Etc/UTC",
    )


@pytest.mark.parametrize("platform", ["lambda", "fc", "knative"])
def test_a_window_over_midnight_ends_on_the_next_days(platform: str) -> None:
    told = "\n".join(scheduled(platform, Window((0, 1, 2, 3, 4), 22, 6), 3))
    expected = {
        "lambda": ("cron(55 21 ? * MON-FRI *)", "cron(0 4 ? * TUE-SAT *)", "WarmEnvironments=3"),
        "fc": ("cron(0 55 21 ? * MON-FRI)", "cron(0 0 4 ? * TUE-SAT)", "target: 3"),
        "knative": ("'* 22-23 * * 1,2,3,4,5'", "'* 0-3 * * 2,3,4,5,6'", "Etc/UTC"),
    }
    for words in expected[platform]:
        assert words in told


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(sorted),
    st.integers(0, 23),
    st.integers(1, 23),
)
def test_a_windows_moments_enclose_its_hours(days: list[int], hour: int, hours: int) -> None:
    window = Window(tuple(days), hour, hours)
    begin, end = begin_of(window), end_of(window)
    covered = set()
    for day in begin.days:
        at = (day * 24 + begin.hour) * 60 + begin.minute + 5
        covered |= {(at // 60 + passed) % WEEK_HOURS for passed in range(hours)}
    assert covered == window.of_week
    ends = {(day * 24 + end.hour) % WEEK_HOURS for day in end.days}
    assert ends == {(day * 24 + hour + hours) % WEEK_HOURS for day in days}
    assert window.minutes_week == len(days) * (60 * hours + 5)


def test_calls_at_once_need_as_many_pings_at_once(tmp_path: Path) -> None:
    """Three calls at one instant, each ten minutes: one ping keeps one of three warm."""
    calls_s = [MONDAY_S + 600 * turn + 30 for turn in range(300) for _ in range(3)]
    plan = plan_warmth(read_history(trace_of(tmp_path, calls_s)), site(), Target(250.0))
    pings, floor = way_of(plan, "pings"), way_of(plan, "floor")
    assert (pings.kept, floor.kept) == (3, 3)
    assert pings.reaches
    assert pings.profile == "3 at once, every 4 min"
    assert "several are kept only by as many at once" in plan.sentence


def test_where_no_way_reaches_the_target_the_best_is_told(tmp_path: Path) -> None:
    plan = plan_warmth(hourly(tmp_path), site(), Target(1.0))
    assert plan.cheapest is None
    assert not any(way.reaches for way in plan.ways)
    assert plan.sentence.startswith("No way reaches a p99 of 1 ms: the best is ")
    assert "a warm call alone computes 4.0 ms" in plan.sentence


def test_a_busy_trace_needs_nothing_kept_warm(tmp_path: Path) -> None:
    calls_s = [MONDAY_S + 20.0 * turn for turn in range(3000)]
    plan = plan_warmth(read_history(trace_of(tmp_path, calls_s)), site(), Target(250.0))
    assert plan.cheapest is not None
    assert plan.cheapest.name == "plain"
    assert plan.left_out == (("schedule", "plain reaches the target in every hour taken together"),)


def test_intervals_with_numbers_of_calls_are_a_history(tmp_path: Path) -> None:
    """A week of five-minute rows, 12 calls in each of the first half of every hour."""
    rows = [f"{MONDAY_S + 300 * turn}\t{12.0 if turn % 12 < 6 else 0.0}" for turn in range(2016)]
    file = tmp_path / "series.tsv.gz"
    file.write_bytes(gzip.compress(("time\tvalue\n" + "\n".join(rows)).encode()))
    history = read_history(file)
    assert len(history.arrivals_us) == 1008 * 12
    assert history.by_hour == tuple([72.0] * WEEK_HOURS)
    assert history.weeks == 1.0
    assert all(at % 3_600_000_000 < 1_800_000_000 for at in history.arrivals_us)
    assert list(history.hours) == sorted(history.hours)


def test_hours_of_the_week_begin_on_monday_in_utc() -> None:
    assert hour_of_week(MONDAY_S * 1_000_000) == 0
    assert hour_of_week((MONDAY_S - 1) * 1_000_000) == WEEK_HOURS - 1


def test_a_huge_series_is_sampled_over_all_hours(tmp_path: Path) -> None:
    rows = [f"{MONDAY_S + 3600 * turn},{1_000_000 + turn % 24}" for turn in range(4 * WEEK_HOURS)]
    file = tmp_path / "series.csv"
    file.write_text("time,calls\n" + "\n".join(rows))
    history = read_history(file)
    assert SIMULATED_MAX // 2 < len(history.arrivals_us) <= SIMULATED_MAX * 11 // 10
    assert len(set(history.hours)) > 80
    assert list(history.arrivals_us) == sorted(history.arrivals_us)
    assert history.calls_month == pytest.approx(730 * 1_000_011.5, rel=1e-6)
    assert sum(history.by_hour) == pytest.approx(WEEK_HOURS * 1_000_011.5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 usable calls"),
        ("timestamp\n5\n", "1 usable calls"),
        ("timestamp\n5\n5\n", "2 usable calls at one instant"),
        ("time,value\n5,0\n9,0\n", "0 usable calls"),
        ("time,value\n5,9.59\n9,8.5\n12,8.1\n", "its number of calls is not whole"),
        ("time,value\n5,-1\n9,-1\n", "its number of calls is not whole"),
        ("time,value\n5,nan\n9,inf\n", "its number of calls is not whole"),
        ("time,value\n0,10000000000\n1,10000000000\n", "at most 10,000,000,000 a day"),
        ('{"ts": 5, "value": 3}\n{"ts": 6, "ms": 1, "tokens": 2}\n', "Give one kind"),
    ],
)
def test_a_history_without_a_rate_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(PlanningError, match=why):
        read_history(file)


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trace.gz"
    file.write_bytes(gzip.compress(b"timestamp\n1\n2\n" * 100)[:-9])
    with pytest.raises(PlanningError, match="cannot be read as text"):
        read_history(file)


def test_what_does_not_fit_or_has_no_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanningError, match="less than the work's 100 MB"):
        site(memory_mb=64)
    with pytest.raises(PlanningError, match="at most 10,240 MB"):
        site(memory_mb=20_000)
    history = hourly(tmp_path)
    with pytest.raises(PriceMissing):
        plan_warmth(history, site(region="mars-1"), Target(250.0))


def test_the_load_histories_are_planned() -> None:
    folder = os.environ.get("FARTHING_DATA")
    if not folder:
        pytest.skip("FARTHING_DATA is not set: the load histories were not planned")
    history = read_history(Path(folder) / "load-history" / "elb_request_count_5min.tsv.gz")
    assert len(history.arrivals_us) == 249_327
    plain = plan_warmth(history, site(), Target(250.0))
    assert plain.cheapest is not None
    assert plain.cheapest.name == "plain"
    with pytest.raises(PlanningError, match="not whole"):
        read_history(Path(folder) / "load-history" / "wikipedia_peyton_manning_daily_log.tsv.gz")
