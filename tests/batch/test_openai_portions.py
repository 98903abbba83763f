"""Portions of a shard's charge add up to it, and each is made of quantities and rates."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.batch.openai.portions import portions_of, usages_of
from farthing.billing.caps import capped
from farthing.billing.meter import meter_of
from farthing.billing.plans import Plan
from farthing.billing.prices import read_price_book
from farthing.settings import read_settings
from farthing.usage import Usage

if TYPE_CHECKING:
    from farthing.billing.meter import Charge

PLANS = [
    Plan(),
    Plan().low(),
    Plan(name="dear", markup=Decimal("1.35")),
    Plan(name="dear", markup=Decimal("1.35"), low_priority=Decimal("0.3")).low(),
    Plan(name="tokens", usd_per_call=Decimal("0.001"), usd_per_million_tokens=Decimal("0.02")),
    Plan(name="tokens", usd_per_million_tokens=Decimal("0.07")).low(),
]
BOOK = read_price_book()


def usage_of(tokens: int, busy_ns: int) -> Usage:
    return Usage(
        prompt_tokens=tokens,
        truncated=0,
        busy_ns=busy_ns,
        init_ns=busy_ns // 7,
        memory_mb=1769,
        vcpu_milli=1000,
        disk_mb=700,
        cold=True,
    )


def price_of(plan: Plan, platform: str, usage: Usage) -> Charge:
    settings = read_settings({}, platform=platform, memory_mb=1769, arch="x86_64")
    return plan.price(meter_of(BOOK, settings).cost(usage), usage)


@pytest.mark.parametrize("plan", PLANS)
@given(
    platform=st.sampled_from(["lambda", "fc", "knative"]),
    weights=st.lists(st.integers(1, 5_000), min_size=1, max_size=40),
    busy_ns=st.integers(0, 10**11),
)
def test_they_add_up_to_the_last_digit(
    plan: Plan, platform: str, weights: list[int], busy_ns: int
) -> None:
    price = price_of(plan, platform, usage_of(sum(weights), busy_ns))
    portions = portions_of(price, weights)
    assert sum(Fraction(own.total) for own in portions) == Fraction(price.total)
    assert sum(own.billed_ms for own in portions) == price.billed_ms
    for index, line in enumerate(price.lines):
        own_lines = [own.lines[index] for own in portions]
        assert sum(Fraction(own.quantity) for own in own_lines) == Fraction(line.quantity)
        assert {(own.rule, own.unit, own.rate) for own in own_lines} == {
            (line.rule, line.unit, line.rate)
        }
    for own in portions:
        amounts = [Fraction(line.quantity) * Fraction(line.rate) for line in own.lines]
        assert [Fraction(line.amount) for line in own.lines] == amounts
        assert Fraction(own.total) == sum(amounts)
        assert own.total >= 0


def test_a_mark_up_is_on_what_the_portion_itself_comes_to() -> None:
    price = price_of(PLANS[3], "lambda", usage_of(30, 12_345_678))
    for own in portions_of(price, [3, 7, 20]):
        for index, line in enumerate(own.lines):
            if line.rule in {"plan.markup", "plan.low_priority"}:
                before = sum(Fraction(earlier.amount) for earlier in own.lines[:index])
                assert Fraction(line.quantity) == before


def test_what_a_budget_did_not_cover_is_taken_off_every_portion() -> None:
    price = capped(price_of(PLANS[0], "lambda", usage_of(6, 10**9)), 1_000_000)
    portions = portions_of(price, [1, 2, 3])
    assert sum(Fraction(own.total) for own in portions) == Fraction(1, 10**6)


@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=30), st.integers(0, 10**12))
def test_usage_is_shared_by_tokens_and_adds_up(tokens: list[int], busy_ns: int) -> None:
    usage = usage_of(sum(tokens), busy_ns)
    own = usages_of(usage, tokens, [index % 2 for index in range(len(tokens))])
    assert [one.prompt_tokens for one in own] == tokens
    assert sum(one.busy_ns for one in own) == busy_ns
    assert sum(one.init_ns for one in own) == usage.init_ns
    whole = sum(max(1, count) for count in tokens)
    for one, count in zip(own, tokens, strict=True):
        assert abs(one.busy_ns - Fraction(busy_ns * max(1, count), whole)) < 1
