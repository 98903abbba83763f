"""An answer's charge by stage: adds up to the last digit, whatever the plan and the platform."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.caps import capped
from farthing.billing.meter import meter_of
from farthing.billing.plans import AT_COST, Plan
from farthing.billing.prices import read_price_book
from farthing.billing.stages import DECIMALS_MIN, stages_of
from farthing.settings import read_settings
from farthing.usage import NS_PER_MS, Usage

if TYPE_CHECKING:
    from farthing.billing.meter import Charge, Meter
    from farthing.billing.stages import Stage

BOOK = read_price_book()
SETTINGS = {
    "lambda": read_settings({}, platform="lambda", memory_mb=1024, overhead_us=700),
    "fc": read_settings({}, platform="fc", memory_mb=1024),
    "fc, shared": read_settings({}, platform="fc", memory_mb=1024, concurrency=8),
    "knative": read_settings({}, platform="knative", memory_mb=2048, node="c7i.xlarge"),
    "managed": read_settings(
        {}, platform="lambda", memory_mb=2048, initialization="lambda-managed-instances"
    ),
}
PLANS = {
    "at cost": AT_COST,
    "a mark-up": Plan(name="a", markup=Decimal("2.75")),
    "half price": Plan(name="b", markup=Decimal("0.5")),
    "nothing": Plan(name="c", markup=Decimal(0)),
    "calls": Plan(name="d", usd_per_call=Decimal("0.0001")),
    "tokens": Plan(name="e", usd_per_million_tokens=Decimal("0.02")),
    "both": Plan(name="f", usd_per_call=Decimal("0.0001"), usd_per_million_tokens=Decimal("0.02")),
}
nanoseconds = st.integers(0, 20_000_000_000)
staged = st.dictionaries(
    st.sampled_from(["embed", "lexical", "dense", "rank", "fetch"]), nanoseconds
)


def usage_of(busy_ns: int, init_ns: int = 0, tokens: int = 9) -> Usage:
    return Usage(
        prompt_tokens=tokens,
        truncated=0,
        busy_ns=busy_ns,
        init_ns=init_ns,
        memory_mb=1024,
        vcpu_milli=578,
        disk_mb=512,
        cold=init_ns > 0,
    )


def meter_on(platform: str) -> Meter:
    return meter_of(BOOK, SETTINGS[platform])


def shown(stages: tuple[Stage, ...]) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages}


@given(
    platform=st.sampled_from(list(SETTINGS)),
    plan=st.sampled_from(list(PLANS)),
    busy_ns=nanoseconds,
    init_ns=nanoseconds,
    tokens=st.integers(0, 10_000),
    stages_ns=staged,
    elapsed_ns=nanoseconds,
    cap_share=st.none() | st.integers(0, 3),
)
def test_time_and_money_are_split_without_rest(
    platform: str,
    plan: str,
    busy_ns: int,
    init_ns: int,
    tokens: int,
    stages_ns: dict[str, int],
    elapsed_ns: int,
    cap_share: int | None,
) -> None:
    meter = meter_on(platform)
    usage = usage_of(busy_ns, init_ns, tokens)
    price = PLANS[plan].price(meter.cost(usage), usage)
    if cap_share is not None:
        price = capped(price, int(price.total * 10**12) * cap_share // 2)
    elapsed_ns = max(elapsed_ns, sum(stages_ns.values()))
    stages = stages_of(price, usage, meter.billed_ns(usage), stages_ns, elapsed_ns)
    assert [stage.name for stage in stages] == ["request", *stages_ns, "other"]
    assert sum(stage.busy_ns for stage in stages) == usage.busy_ns
    assert sum((Fraction(stage.amount) for stage in stages), Fraction(0)) == Fraction(price.total)
    assert all(stage.amount >= 0 and stage.busy_ns >= 0 for stage in stages)
    again = [msgspec.json.decode(msgspec.json.encode(stage.as_json())) for stage in stages]
    assert sum(Fraction(one["amount"]) for one in again) == Fraction(price.as_json()["total"])


@given(
    busy=st.lists(st.integers(0, 10**9), min_size=1, max_size=5), around_ns=st.integers(0, 10**9)
)
def test_alone_on_lambda_a_stage_pays_its_own_time_at_the_books_rate(
    busy: list[int], around_ns: int
) -> None:
    """An oracle in integers: a stage's nanoseconds times the rate, to a unit of the last digit."""
    stages_ns = {f"stage-{place}": taken_ns for place, taken_ns in enumerate(busy)}
    usage = usage_of(sum(busy) + around_ns)
    meter = meter_on("lambda")
    price = meter.cost(usage)
    stages = shown(
        stages_of(price, usage, meter.billed_ns(usage), stages_ns, sum(busy) + around_ns)
    )
    fee = next(line for line in price.lines if line.rule == "lambda.requests")
    assert stages["request"].amount == fee.amount
    (by_time,) = (line for line in price.lines if line.rule != "lambda.requests")
    unit = Fraction(1, 10**DECIMALS_MIN)
    for name, taken_ns in stages_ns.items():
        assert stages[name].busy_ns == taken_ns
        exact = Fraction(by_time.rate) * Fraction(taken_ns, 10**9)
        assert abs(Fraction(stages[name].amount) - exact) < unit
    assert meter.billed_ns(usage) == price.billed_ms * NS_PER_MS


def test_a_start_and_the_rounding_are_no_stages_own() -> None:
    meter = meter_on("lambda")
    warm, cold = usage_of(2_000_000), usage_of(2_000_000, init_ns=700_000_000)
    stages_ns = {"embed": 1_500_000}

    def stages(usage: Usage) -> dict[str, Stage]:
        price = meter.cost(usage)
        return shown(stages_of(price, usage, meter.billed_ns(usage), stages_ns, usage.busy_ns))

    assert stages(cold)["embed"] == stages(warm)["embed"]
    assert stages(cold)["other"].amount > 100 * stages(warm)["other"].amount


def test_calls_that_share_an_instance_pay_for_their_part_of_each_stage() -> None:
    meter = meter_on("knative")
    usage = usage_of(5_000_000)
    stages = shown(
        stages_of(
            meter.cost(usage), usage, meter.billed_ns(usage), {"embed": 8_000_000}, 10_000_000
        )
    )
    assert stages["embed"].busy_ns == 4_000_000
    assert stages["other"].busy_ns == 1_000_000
    assert stages["request"].amount == 0, "a pod costs the same whether it is called or not"


@pytest.mark.parametrize("plan", ["calls", "both"])
def test_what_is_sold_by_the_call_is_the_requests(plan: str) -> None:
    meter = meter_on("fc")
    usage = usage_of(3_000_000)
    price: Charge = PLANS[plan].price(meter.cost(usage), usage)
    stages = shown(stages_of(price, usage, meter.billed_ns(usage), {"embed": 2_000_000}, 3_000_000))
    assert stages["request"].amount == Decimal("0.0001")
    assert stages["embed"].amount + stages["other"].amount == price.total - Decimal("0.0001")


def test_a_refused_callers_nothing_has_stages_of_nothing() -> None:
    usage = usage_of(3_000_000)
    stages = stages_of(meter_on("fc").nothing(), usage, 0, {"embed": 2_000_000}, 3_000_000)
    assert {stage.amount for stage in stages} == {Decimal(0)}
