"""Quotations against integer arithmetic from the price pages, which uses nothing of the code."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.billing.month import Tally, provider_bill
from farthing.billing.prices import PriceBook, read_price_book
from farthing.billing.quantities import Quantities
from farthing.billing.tariff import Tariff
from farthing.errors import PriceMissing
from farthing.planning.assumptions import read_assumptions
from farthing.planning.break_even import curves_of
from farthing.planning.commitment import cheapest_mix
from farthing.planning.quote import Quote, quote
from farthing.planning.traffic import Traffic, traffic_of
from farthing.planning.work import Work, known_work, scenario

if TYPE_CHECKING:
    from farthing.planning.options import Option

BOOK = read_price_book(planning=True)
ASSUMPTIONS = read_assumptions()
WORK = Work(
    name="test", task="embed", busy_ms=3.2, init_ms=200, peak_mb=90, tokens=10, source="a test"
)
HOUR_US = 3_600_000_000


def quoted(traffic: Traffic, work: Work = WORK, book: PriceBook = BOOK) -> Quote:
    return quote(work, traffic, book, ASSUMPTIONS, "us-east-1")


def option(quotation: Quote, platform: str, profile: str, memory_mb: int | None = None) -> Option:
    (found,) = (
        one
        for one in quotation.options
        if (one.platform, one.profile) == (platform, profile) and memory_mb in {None, one.memory_mb}
    )
    return found


def hourly(calls: int) -> Traffic:
    """A call an hour: each finds its instance gone."""
    arrivals = [hour * HOUR_US for hour in range(calls)]
    return Traffic(arrivals, calls * HOUR_US, calls, (1.0,) * 730, ())


def evenly(calls: int, gap_us: int) -> Traffic:
    """Calls so close that only the first one is cold, and so far apart that none overlap."""
    arrivals = [turn * gap_us for turn in range(calls)]
    return Traffic(arrivals, calls * gap_us, calls, (calls / 730,) * 730, ())


@pytest.mark.parametrize(("arch", "rate"), [("x86_64", 166_667), ("arm64", 133_334)])
def test_lambda_on_demand_is_requests_and_whole_milliseconds_with_init(
    arch: str, rate: int
) -> None:
    # At 1,024 MB a call has 1024 * 1000 // 1769 = 578 thousandths of a vCPU: 3.2 / 0.578 = 5.536
    # ms, billed 6; with 200 ms of init 206. In units of 1e-13 USD: 1 GB-s = rate * 1000 of them.
    calls = 10_000
    found = option(quoted(evenly(calls, 1_000_000)), "AWS Lambda", f"{arch}, on demand", 1024)
    billed_ms = 6 * (calls - 1) + 206
    units = calls * 2_000_000 + billed_ms * rate
    assert found.marginal_usd_month == Decimal(units).scaleb(-13)
    assert found.cold_share == 1 / calls
    assert found.millis == (5.536, 5.536)


def test_a_call_an_hour_is_always_cold_and_pays_its_init() -> None:
    found = option(quoted(hourly(730)), "AWS Lambda", "x86_64, on demand", 2048 - 279)
    # 1,769 MB are one vCPU: 3.2 + 200 ms, billed 204.
    gb_ms = Fraction(730 * 204 * 1769, 1024)
    assert Fraction(found.marginal_usd_month) == 730 * Fraction(2, 10**7) + gb_ms * Fraction(
        166_667, 10**13
    )
    assert found.cold_share == 1
    # 100 ms before init, which are not billed and are waited for.
    assert found.millis == (303.2, 303.2)


def test_the_loaded_price_has_alarms_registry_logs_and_settlement_by_the_book() -> None:
    calls = 10_000
    found = option(quoted(evenly(calls, 1_000_000)), "AWS Lambda", "x86_64, on demand", 1024)
    standing = (
        6 * Fraction(1, 10)  # alarms
        + Fraction(130, 1024) * Fraction(1, 10)  # registry
        + Fraction(calls * 900, 10**9) * Fraction(1, 2)  # log
        + Fraction(calls, 100) * Fraction(625, 10**9)  # ledger
        + 730 * 2 * Fraction(166_667, 10**10)  # settlement
    )
    assert Fraction(found.usd_month) == Fraction(found.marginal_usd_month) + standing
    assert found.usd_year == 12 * found.usd_month


def test_function_compute_is_compute_units_without_init() -> None:
    # 0.5 vCPU: 6.4 ms, billed 7; the least memory of half a vCPU is 512 MB.
    calls = 10_000
    found = option(quoted(evenly(calls, 1_000_000)), "Function Compute", "0.5 vCPU, from zero")
    units = calls * (
        Fraction(75, 10_000) + Fraction(7, 1000) * (Fraction(1, 2) + Fraction(15, 200))
    )
    assert Fraction(found.usd_month) == units * Fraction(2, 100_000)


def test_function_compute_in_idle_mode_pays_memory_all_month_and_cpu_while_it_computes() -> None:
    calls = 10_000
    found = option(
        quoted(evenly(calls, 1_000_000)), "Function Compute", "1 vCPU, 1 kept in idle mode"
    )
    kept = 730 * 3600 * Fraction(15, 100)
    active = calls * (Fraction(75, 10_000) + Fraction(4, 1000))
    assert Fraction(found.usd_month) == (kept + active) * Fraction(2, 100_000)
    assert found.cold_share == 0


def test_provisioned_concurrency_pays_for_being_kept_and_less_for_computing() -> None:
    calls = 10_000
    found = option(
        quoted(evenly(calls, 1_000_000)), "AWS Lambda", "x86_64, 1 provisioned, peaks on demand"
    )
    memory = Fraction(found.memory_mb or 0, 1024)
    share = (found.memory_mb or 0) * 1000 // 1769
    billed_ms = -(-3_200 * 1000 // share // 1000)
    assert Fraction(found.marginal_usd_month) == calls * Fraction(2, 10**7) + Fraction(
        calls * billed_ms, 1000
    ) * memory * Fraction(97_222, 10**10)
    kept = next(line for line in found.standing if line.rule == "lambda.provisioned.x86_64")
    assert Fraction(kept.amount) == 730 * 3600 * memory * Fraction(41_667, 10**10)
    assert found.cold_share == 0


def test_managed_instances_are_three_with_their_fee_whoever_calls() -> None:
    found = option(
        quoted(evenly(1000, 1_000_000)), "AWS Lambda", "x86_64, Managed Instances, 3 c7i.xlarge"
    )
    instances = [line for line in found.standing if "managed" in line.rule]
    assert sum(line.amount for line in instances) == 3 * 730 * (
        Decimal("0.1785") + Decimal("0.026775")
    )


def test_the_free_tier_is_what_the_month_bill_credits() -> None:
    traffic = evenly(400_000, 5_000)
    found = option(quoted(traffic), "AWS Lambda", "arm64, on demand", 1769)
    gb_s = next(line.quantity for line in found.calls if "duration" in line.rule)
    tally = Tally()
    tally.add(
        Tariff("lambda", "us-east-1", "arm64"),
        Quantities(requests=400_000, memory_mb_ns=int(gb_s * 1024 * 10**9)),
    )
    bill = provider_bill(tally.months, book=BOOK, in_cents=False)
    assert bill.measured == found.marginal_usd_month
    assert sum(line.amount for line in found.free) == sum(line.amount for line in bill.differences)


@pytest.mark.parametrize(
    ("name", "rule", "hourly_usd"),
    [("T4", "gcp.t4", "0.35"), ("V100", "gcp.v100", "2.48")],
)
def test_a_gpu_by_the_hour_costs_its_hours(name: str, rule: str, hourly_usd: str) -> None:
    found = option(quoted(hourly(700)), name, "Google, the GPU alone, as published")
    assert [line.rule for line in found.standing] == [rule]
    assert found.usd_year == 8760 * Decimal(hourly_usd)


def test_a_raspberry_pi_costs_its_board_and_its_electricity() -> None:
    found = option(quoted(hourly(700)), "Raspberry Pi 4", "at home, always on")
    idle_usd = 3 * 730 * Decimal("0.1747") / 1000
    assert Decimal("2.5") + idle_usd <= found.usd_month <= Decimal("2.51") + idle_usd


def test_an_api_is_billed_by_the_token() -> None:
    found = option(quoted(hourly(700)), "OpenAI", "text-embedding-3-small")
    assert found.usd_month == 700 * 10 * Decimal("0.02") / 1_000_000


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.integers(1, 100),
    st.integers(1, 100),
)
def test_the_chosen_commitment_is_the_cheapest_there_is(
    needed: list[int], committed_rate: int, demand_rate: int
) -> None:
    mix = cheapest_mix(needed, Decimal(committed_rate), Decimal(demand_rate))
    prices = [
        level * len(needed) * committed_rate + sum(max(0, n - level) for n in needed) * demand_rate
        for level in range(max(needed) + 1)
    ]
    assert mix.usd == min(prices)


@settings(deadline=None, max_examples=25)
@given(
    calls=st.integers(1, 3000),
    busy_ms=st.floats(0.01, 5000),
    init_ms=st.floats(0.01, 20_000),
    peak_mb=st.integers(1, 12_000),
    threads=st.integers(1, 6),
)
def test_any_work_is_priced_exactly_and_the_cheapest_comes_first(
    calls: int, busy_ms: float, init_ms: float, peak_mb: int, threads: int
) -> None:
    work = msgspec.structs.replace(
        WORK, busy_ms=busy_ms, init_ms=init_ms, peak_mb=peak_mb, threads=threads
    )
    quotation = quoted(traffic_of(calls), work)
    years = [one.usd_year for one in quotation.options]
    assert years == sorted(years)
    for one in quotation.options:
        lines = (*one.calls, *one.standing)
        assert all(line.amount == line.quantity * line.rate >= 0 for line in lines)
        assert one.usd_month == sum(line.amount for line in lines)
        assert one.marginal_usd_month <= one.usd_month
        assert (
            one.usd_month_by_calls()(quotation.calls_month * 12 / 365)
            == pytest.approx(float(one.usd_month), rel=1e-6)
            or (one.instances or 0) > 1
        )
        if one.millis is not None:
            assert 0 < one.millis[0] <= one.millis[1]
        if one.memory_mb is not None and one.family in {"Lambda", "Function Compute", "SageMaker"}:
            assert one.memory_mb >= peak_mb * 1.25
        assert set(one.assumptions) <= {told["name"] for told in quotation.assumptions}


def test_a_region_without_rows_is_refused_with_the_rows_name() -> None:
    with pytest.raises(PriceMissing, match=r"lambda\.requests in region mars-1"):
        quote(WORK, traffic_of(100), BOOK, ASSUMPTIONS, "mars-1")


def test_a_region_that_lacks_some_rows_leaves_those_out_and_names_them() -> None:
    quotation = quote(WORK, traffic_of(100), BOOK, ASSUMPTIONS, "af-south-1")
    reasons = dict(quotation.left_out)
    assert (
        "no lambda.duration.arm64 in region af-south-1"
        in reasons["AWS Lambda arm64, on demand, 1,024 MB"]
    )
    assert all(
        line.rule not in {"lambda.duration.x86_64"} or line.rate == Decimal("0.0000221")
        for one in quotation.options
        for line in one.calls
    )


def test_every_price_of_a_quotation_is_a_row_with_its_source_or_a_stated_assumption() -> None:
    quotation = quoted(traffic_of(5000), scenario("shop").work)
    cited = {name.split(" ")[0] for name in quotation.rows}
    for one in quotation.options:
        for line in (*one.calls, *one.standing, *one.once, *one.free):
            assert line.rule in cited or line.rule.startswith("assumed.")
    for told in quotation.assumptions:
        assert told["says"]
        assert told["source"]


@pytest.mark.parametrize(
    ("name", "published", "parts", "at_most"), [("shop", 5300, 5300, 10), ("notes", 610, 720, 1)]
)
def test_the_published_uses_cost_less_here(
    name: str, published: int, parts: int, at_most: int
) -> None:
    chosen = scenario(name)
    traffic = traffic_of(round(chosen.calls_per_day * 365 / 12))
    shown = quote(chosen.work, traffic, BOOK, ASSUMPTIONS, "us-east-1", chosen).as_json()
    assert shown["scenario"] == name
    assert shown["published_usd_year"] == published
    assert shown["published_parts_usd_year"] == parts
    options = shown["options"]
    assert isinstance(options, list)
    assert 0 < options[0]["usd_year"] <= at_most
    years = [one["usd_year"] for one in options]
    assert years == sorted(years)
    for one in options:
        assert one["usd_year"] == pytest.approx(float(one["exact"]["usd_year"]), abs=1e-6)
        once = sum(Decimal(line["amount"]) for line in one["lines"]["once"])
        exact = {key: Decimal(text) for key, text in one["exact"].items()}
        assert exact["usd_year"] == 12 * exact["usd_month"] + once


def test_break_evens_are_where_the_cheaper_one_changes() -> None:
    quotation = quoted(traffic_of(300_000))
    curves = {curve.family: curve for curve in curves_of(quotation.options)}
    base = curves["Lambda"]
    families = {one.platform: one.family for one in quotation.options}
    assert quotation.break_evens
    for one in quotation.break_evens:
        other = curves[families[one.cheaper.partition(" (")[0]]]
        assert other.usd_month(one.calls_per_day) < base.usd_month(one.calls_per_day)
        if one.calls_per_day > 1:
            assert other.usd_month(one.calls_per_day - 1) >= base.usd_month(one.calls_per_day - 1)
        if one.until is not None:
            assert other.usd_month(one.until + 1) >= base.usd_month(one.until + 1)


def test_shipped_profiles_are_of_bundles_that_ship() -> None:
    for name in ("product-classifier", "retail-banking-intents", "all-minilm-l6-v2"):
        assert known_work(name).name == name
