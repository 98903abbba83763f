"""What a cache of answers saves: replayed by hand, priced by plain arithmetic."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.prices import read_price_book
from farthing.errors import PriceMissing
from farthing.planning.assumptions import read_assumptions
from farthing.planning.caching.calls import KeyedCalls, instances_of, read_keyed
from farthing.planning.caching.plan import CachePlan, plan_cache
from farthing.planning.caching.replay import Kept, replay
from farthing.planning.errors import PlanningError
from farthing.planning.rates import Rates
from farthing.planning.warmth.sites import SITES, Site
from farthing.planning.work import Work

if TYPE_CHECKING:
    from pathlib import Path

EPOCH_S = 1_793_577_600
US_PER_S = 1_000_000
EMBED_BYTES = 1800


def site(busy_ms: float = 5.0, platform: str = "lambda", region: str = "us-east-1") -> Site:
    work = Work(
        name="stated",
        task="embed",
        busy_ms=busy_ms,
        init_ms=300.0,
        peak_mb=100,
        tokens=8,
        source="stated",
    )
    rates = Rates(read_price_book(planning=True), region)
    memory_mb = 1769 if platform == "lambda" else 1024
    return SITES[platform](work, rates, read_assumptions(), memory_mb, "x86_64")


def keyed(folder: Path, rows: list[tuple[float, str]]) -> KeyedCalls:
    file = folder / "trace.csv"
    file.write_text("ts,text\n" + "".join(f"{EPOCH_S + at},{text}\n" for at, text in rows))
    return read_keyed(file, "text")


def planned(calls: KeyedCalls, at: Site, ttl_s: int = 3600) -> CachePlan:
    return plan_cache(calls, at, ttl_s=ttl_s, local_mb=32, entry_bytes="cache.embed-bytes")


def by_hand(
    calls: list[tuple[int, int, int]], ttl_us: int, local_max: int, remote_max: int | None
) -> tuple[int, int]:
    """Hits in the process and beside it: lists in the order of use, looked through one by one."""
    local: dict[int, list[tuple[int, int]]] = {}
    remote: list[tuple[int, int]] = []
    local_hits = remote_hits = 0

    def look(kept: list[tuple[int, int]], key: int, at_us: int) -> int | None:
        for place, (own, written_us) in enumerate(kept):
            if own == key:
                del kept[place]
                if at_us - written_us < ttl_us:
                    kept.append((own, written_us))
                    return written_us
        return None

    for at_us, key, instance in calls:
        own = local.setdefault(instance, [])
        if look(own, key, at_us) is not None:
            local_hits += 1
            continue
        found = look(remote, key, at_us) if remote_max != 0 else None
        remote_hits += found is not None
        own.append((key, at_us if found is None else found))
        del own[:-local_max]
        if found is None and remote_max != 0:
            remote.append((key, at_us))
            if remote_max is not None:
                del remote[:-remote_max]
    return local_hits, remote_hits


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), st.integers(0, 2)), max_size=80).map(
        lambda rows: sorted(rows, key=lambda row: row[0])
    ),
    st.integers(1, 300),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(0, 8)),
)
def test_hits_are_those_that_lists_have(
    calls: list[tuple[int, int, int]], ttl_us: int, local_max: int, remote_max: int | None
) -> None:
    remote = None if remote_max == 0 else Kept(remote_max, ttl_us)
    arrivals, keys, instances = ([row[part] for row in calls] for part in range(3))
    hits = replay(arrivals, keys, instances, ttl_us, local_max, remote)
    assert (hits.local, hits.remote) == by_hand(calls, ttl_us, local_max, remote_max)
    assert hits.missed == len(calls) - hits.local - hits.remote
    if remote_max:
        assert hits.entries <= remote_max


def test_an_instances_answers_go_with_it() -> None:
    """Two calls at once take two instances; after five minutes without a call both are gone."""
    second = US_PER_S
    arrivals = [0, 0, 10 * second, 400 * second]
    instances = instances_of(arrivals, 5000, 300 * second)
    assert list(instances) == [0, 1, 1, 2]
    hits = replay(arrivals, [7, 7, 7, 7], instances, 3600 * second, 10)
    assert (hits.local, hits.missed) == (1, 3)
    shared = replay(arrivals, [7, 7, 7, 7], instances, 3600 * second, 10, Kept(None, 3600 * second))
    assert (shared.local, shared.remote, shared.missed) == (1, 2, 1)


def test_an_unbounded_store_holds_what_is_not_too_old() -> None:
    kept = Kept(None, 10)
    for at_us in range(100):
        kept.keep(at_us, at_us, at_us)
    assert kept.most == 10


def spread(folder: Path) -> KeyedCalls:
    """A thousand calls a second apart, of ten texts in turn."""
    return keyed(folder, [(float(turn), f"query {turn % 10}") for turn in range(1000)])


def test_lambdas_computing_costs_what_the_price_page_says(tmp_path: Path) -> None:
    """5 ms a call at one vCPU, 0.3 ms a hit, which is billed 1 ms."""
    plan = planned(spread(tmp_path), site())
    off, memory = plan.choices[:2]
    calls = 730 * 3600
    hits = (990 * calls + 500) // 1000
    gb_s, request = Fraction(1769, 1024) * Fraction(166667, 10**10), Fraction(2, 10**7)
    assert Fraction(off.usd_month) == calls * request + Fraction(calls * 5, 1000) * gb_s
    computed_ms = hits * 1 + (calls - hits) * 5
    assert Fraction(memory.usd_month) == calls * request + Fraction(computed_ms, 1000) * gb_s
    assert memory.local == 0.99
    assert memory.ms == pytest.approx(0.99 * 0.3 + 0.01 * 5)
    assert plan.best is memory
    assert plan.sentence.startswith("Set FARTHING_CACHE=memory: it answers 99.0% of the calls")


def test_stores_cost_what_the_price_pages_say(tmp_path: Path) -> None:
    """All calls miss in the process, where each instance is gone after one call."""
    rows = [(400.0 * turn, f"query {turn % 2}") for turn in range(1000)]
    plan = planned(keyed(tmp_path, rows), site(), ttl_s=3600)
    calls_month = plan.calls_month
    assert calls_month == 730 * 9  # 400 s apart
    # Each text comes each 800 s, so that of five calls of an hour the first is computed.
    found = plan.choices[2].remote
    assert plan.choices[1].local == 0
    had = round(found * 1000) * calls_month
    had = (had + 500) // 1000
    missed = calls_month - had
    by_name = {choice.name: choice for choice in plan.choices}
    kb = 2  # 1,800 bytes
    serverless = 730 * Fraction(1, 10) * Fraction(84, 1000)
    serverless += (had * kb + missed + missed * kb) * Fraction(23, 10**10)
    assert Fraction(by_name["ElastiCache Serverless, its least"].store_usd) == serverless
    assert Fraction(by_name["ElastiCache node t4g.micro"].store_usd) == 730 * Fraction(128, 10**4)
    entries = 2
    table = Fraction(had + missed, 2) * Fraction(125, 10**9) + missed * kb * Fraction(625, 10**9)
    table += Fraction(entries * EMBED_BYTES, 10**9) * Fraction(25, 100)
    assert Fraction(by_name["DynamoDB on demand"].store_usd) == table
    commands = (had + 2 * missed) * Fraction(2, 10**6)
    assert Fraction(by_name["Upstash by the command"].store_usd) == commands
    assert found == pytest.approx(0.8, abs=0.01)
    left = dict(plan.left_out)
    assert "no source for its prices" in left["Alibaba's Tair (Redis)"]
    assert "would hold all that is kept" in left["ElastiCache Serverless, no bound"]


def test_a_store_pays_where_computing_is_dear_and_instances_do_not_last(tmp_path: Path) -> None:
    """Half a second a call, and each instance is gone before the next call."""
    rows = [(400.0 * turn, f"query {turn % 2}") for turn in range(1000)]
    plan = planned(keyed(tmp_path, rows), site(busy_ms=500.0))
    off, memory, *stores = plan.choices
    assert plan.best in stores
    assert plan.best.usd_month < memory.usd_month == off.usd_month
    assert plan.best.pays_from is not None
    assert plan.sentence.startswith(f"Set FARTHING_CACHE={plan.best.cache}: it answers")
    serverless = next(choice for choice in stores if "Serverless" in choice.name)
    # From that many calls on, what it saves beyond memory is its standing price.
    assert serverless.pays_from is not None
    standing = float(serverless.store[0].amount)
    saved = float(memory.usd_month) - float(serverless.usd_month) + standing
    a_day = plan.calls_month * 12 / 365
    assert serverless.pays_from == pytest.approx(max(1.0, standing / saved * a_day))


@pytest.mark.parametrize("platform", ["lambda", "fc", "knative"])
def test_what_never_comes_again_is_not_cached(tmp_path: Path, platform: str) -> None:
    calls = keyed(tmp_path, [(float(turn), f"query {turn}") for turn in range(500)])
    plan = planned(calls, site(platform=platform))
    assert plan.best.cache == "off"
    assert plan.sentence.startswith("Leave the cache off")


def test_a_ttl_of_nothing_keeps_nothing_and_one_of_a_year_all(tmp_path: Path) -> None:
    calls = spread(tmp_path)
    nothing = planned(calls, site(), ttl_s=0)
    assert nothing.best.cache == "off"
    assert all(choice.local == choice.remote == 0 for choice in nothing.choices)
    year = planned(calls, site(), ttl_s=365 * 24 * 3600)
    assert year.choices[1].local == 0.99


def test_texts_are_hashed_and_never_told(tmp_path: Path) -> None:
    secret = "my card number is 4111"
    calls = keyed(tmp_path, [(float(turn), secret) for turn in range(50)])
    plan = planned(calls, site())
    told = json.dumps(plan.as_json()) + plan.sentence + repr(calls.keys)
    assert secret not in told
    assert calls.distinct == 1
    with pytest.raises(PlanningError) as caught:
        file = tmp_path / "bad.csv"
        file.write_text(f"ts,text\n{secret},a\n{secret},b\n5,c\n")
        read_keyed(file, "text")
    assert secret not in str(caught.value)


def test_rows_out_of_order_are_sorted_with_their_keys(tmp_path: Path) -> None:
    rows = [(float(turn), f"query {turn % 3}") for turn in range(60)]
    straight, turned = keyed(tmp_path, rows), keyed(tmp_path, rows[::-1])
    assert list(straight.keys) == list(turned.keys)
    assert list(straight.arrivals_us) == list(turned.arrivals_us)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 usable calls"),
        ("ts,text\n", "0 usable calls"),
        ("ts,text\n5,a\n5,b\n", "2 usable calls at one instant"),
        ("ts,query\n5,a\n6,b\n", "has no column text; it has ts, query"),
        ("5\n6\n7\n", "it has no text"),
        ("ts,text\n5,\n6,\n", "it has no text"),
        ('{"ts": 5, "query": "a"}\n{"ts": 6, "query": "b"}\n', "it has no text"),
    ],
)
def test_a_trace_without_equal_calls_or_a_rate_is_refused(
    tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(PlanningError, match=why):
        read_keyed(file, "text")


def test_a_store_without_a_price_is_left_out_and_a_region_without_any_refused(
    tmp_path: Path,
) -> None:
    calls = spread(tmp_path)
    plan = planned(calls, site(region="eu-west-1"))
    assert [choice.cache for choice in plan.choices] == ["off", "memory", "rediss://…"]
    assert any("no dynamodb.read in region eu-west-1" in why or "no dynamodb.storage" in why
               for _, why in plan.left_out)  # fmt: skip
    with pytest.raises(PriceMissing):
        planned(calls, site(region="mars-1"))
