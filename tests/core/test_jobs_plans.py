"""What a call that may wait is sold for: a share of the price, exactly, and once."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.invoices import statement_of
from farthing.billing.plans import AT_COST, Plan, Volume, known_plans, plan_id, read_plans
from farthing.billing.valuation import Valuer
from farthing.errors import SettingsError
from tests.core.entries import MONTH, entry

# Lambda, in femtodollars: a request, and a millisecond of 1 GB.
REQUEST = 200_000_000
MS = 16_666_700
FEMTO = 10**15
SHARES = st.integers(1, 1000).map(lambda thousandths: Decimal(thousandths) / 1000)


def test_at_cost_half_is_taken_off_in_a_line_of_its_own() -> None:
    low = AT_COST.low()
    (one,) = statement_of("acme", [entry(plan=plan_id(low))], Valuer({}), MONTH).days
    assert one.cost * FEMTO == REQUEST + MS
    assert one.price * FEMTO * 2 == REQUEST + MS
    value = Valuer({}).value(entry(plan=plan_id(low)))
    rules = [line.rule for line in value.price.lines]
    assert rules == ["lambda.requests", "lambda.duration.x86_64", "plan.low_priority"]
    assert sum(line.amount for line in value.price.lines) == value.price.total


def test_what_waits_has_an_id_of_its_own_and_older_ids_stay_as_they_were() -> None:
    gold = Plan(name="gold", markup=Decimal("1.25"))
    assert plan_id(gold.low()).startswith("gold.low@")
    assert plan_id(AT_COST.low()).startswith("at-cost.low@")
    assert plan_id(gold) == plan_id(
        Plan(name="gold", markup=Decimal("1.25"), low_priority=Decimal("0.5"))
    )
    assert len({plan_id(plan) for plan in (gold, gold.low(), AT_COST.low())}) == 3
    assert known_plans({plan_id(gold): gold}).keys() == {
        "", plan_id(gold), plan_id(gold.low()), plan_id(AT_COST.low())
    }  # fmt: skip


@pytest.mark.parametrize("share", ["0", "-0.5", "1.5", "NaN", "0.0000000001"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(SettingsError, match="low_priority"):
        read_plans(f'[{{"name": "gold", "low_priority": "{share}"}}]')


def test_nobody_writes_a_plan_that_is_low_already() -> None:
    with pytest.raises(SettingsError, match="is_low"):
        read_plans('[{"name": "gold", "is_low": true}]')


@given(
    busy_us=st.lists(st.integers(1, 5_000_000), min_size=1, max_size=12),
    waits=st.lists(st.booleans(), min_size=12, max_size=12),
    share=SHARES,
    markup_thousandths=st.integers(0, 5000),
)
def test_invoices_are_the_sum_of_the_prices_and_costs_are_untouched(
    busy_us: list[int], waits: list[bool], share: Decimal, markup_thousandths: int
) -> None:
    markup = Decimal(markup_thousandths) / 1000
    plan = Plan(name="gold", markup=markup, low_priority=share)
    valuer = Valuer({plan_id(plan): plan})
    entries = [
        entry(
            number,
            plan=plan_id(plan.low() if waits[number] else plan),
            busy_ns=busy * 1000,
        )
        for number, busy in enumerate(busy_us)
    ]
    costs = [Fraction(REQUEST + -(-busy // 1000) * MS, FEMTO) for busy in busy_us]
    prices = [
        cost * Fraction(markup) * (Fraction(share) if low else 1)
        for cost, low in zip(costs, waits, strict=False)
    ]
    statement = statement_of("acme", entries, valuer, MONTH)
    assert [Fraction(valuer.value(one).price.total) for one in entries] == prices
    assert Fraction(statement.total) == sum(prices)
    assert Fraction(sum((day.cost for day in statement.days), Decimal(0))) == sum(costs)


@given(
    tokens=st.lists(st.integers(1, 1000), min_size=1, max_size=10),
    waits=st.lists(st.booleans(), min_size=10, max_size=10),
    share=SHARES,
)
def test_prices_of_a_plans_own_are_shared_whatever_the_machine_took(
    tokens: list[int], waits: list[bool], share: Decimal
) -> None:
    plan = Plan(
        name="flat",
        usd_per_call=Decimal("0.001"),
        usd_per_million_tokens=Decimal(2),
        low_priority=share,
    )
    entries = [
        entry(number, plan=plan_id(plan.low() if waits[number] else plan), prompt_tokens=each)
        for number, each in enumerate(tokens)
    ]
    expected = sum(
        (Fraction(1, 1000) + Fraction(2 * each, 10**6)) * (Fraction(share) if low else 1)
        for each, low in zip(tokens, waits, strict=False)
    )
    valuer = Valuer({plan_id(plan): plan})
    assert Fraction(statement_of("acme", entries, valuer, MONTH).total) == expected


def test_what_waits_counts_in_the_same_month_and_is_credited_at_what_it_was_sold_for() -> None:
    plan = Plan(
        name="flat",
        usd_per_million_tokens=Decimal(2),
        free_calls=1,
        free_tokens=10,
        volumes=(Volume(over_tokens=25, discount=Decimal("0.5")),),
    )
    entries = [entry(number, plan=plan_id(plan.low()), prompt_tokens=10) for number in range(4)]
    statement = statement_of("acme", entries, Valuer({plan_id(plan): plan}), MONTH)
    # 40 tokens at one millionth of a dollar: the first call is free, then 10 tokens are; of the 20
    # that are left 15 lie beyond the 25th and cost half.
    assert statement.total == Decimal("0.000001") * 20 - Decimal("0.0000005") * 15


def test_a_quote_that_binds_is_a_cap_by_its_own_name_on_answer_and_invoice() -> None:
    capped: dict[str, Any] = {"plan": plan_id(AT_COST.low()), "price_max_pico": 50_000}
    one = entry(**capped)
    price = Valuer({}).value(one).price
    assert price.total == Decimal("0.00000005")
    assert price.lines[-1].rule == "quote.cap"
    statement = statement_of("acme", [one, entry(2, **capped)], Valuer({}), MONTH)
    assert statement.total == Decimal("0.0000001")
    assert [one.line.rule for one in statement.lines][-1] == "quote.cap"


def test_work_that_has_a_name_is_sold_whatever_else_its_request_did() -> None:
    named = [entry(1, writer=f"job-{number}", request_id="one call") for number in range(3)]
    again = [entry(number, request_id="one call") for number in (1, 2)]
    statement = statement_of("acme", [*named, *again], Valuer({}), MONTH)
    assert statement.total * FEMTO == 4 * (REQUEST + MS)
    (day,) = statement.days
    assert (day.calls, day.repeats) == (4, 1)
