"""Plans: what they may say, what they are called, what they make of a cost."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.caps import capped
from farthing.billing.meter import Charge, line_of
from farthing.billing.plans import (
    AT_COST,
    Plan,
    Volume,
    current_plan,
    plan_id,
    read_plans,
)
from farthing.errors import SettingsError
from tests.core.entries import used

COST = Charge(
    (line_of("lambda.requests", Decimal(1), "request", Decimal("0.0000002")),),
    Decimal("0.0000002"),
    "measured",
    "2026-11-21",
    1,
)
TERMS = st.decimals(0, 1000, places=9)


def test_a_plan_of_its_own_prices_counts_calls_and_tokens_and_no_machine_time() -> None:
    plan = Plan(usd_per_call=Decimal("0.0001"), usd_per_million_tokens=Decimal("0.02"))
    price = plan.price(COST, used(prompt_tokens=50))
    assert {line.rule: line.amount for line in price.lines} == {
        "plan.calls": Decimal("0.0001"),
        "plan.tokens": Decimal("0.000001"),
    }
    assert price.total == Decimal("0.000101")


def test_a_price_of_zero_makes_no_line() -> None:
    price = Plan(usd_per_million_tokens=Decimal("0.02")).price(COST, used())
    assert [line.rule for line in price.lines] == ["plan.tokens"]


def test_a_cap_takes_off_what_is_over_it_in_a_line_of_its_own() -> None:
    price = capped(COST, 150_000)
    assert price.total == Decimal("0.00000015")
    assert price.lines[-1].rule == "budget.cap"
    assert sum(line.amount for line in price.lines) == price.total
    assert capped(COST, 200_000) is COST


@given(markup=TERMS, most_pico=st.integers(0, 10**15))
def test_a_capped_price_is_the_lesser_of_both_exactly(markup: Decimal, most_pico: int) -> None:
    price = capped(Plan(markup=markup).price(COST, used()), most_pico)
    assert price.total * 10**12 == min(markup * COST.total * 10**12, most_pico)


def test_an_id_follows_the_terms_and_nothing_else() -> None:
    plan = Plan(name="gold", markup=Decimal("1.25"))
    assert plan_id(plan) == plan_id(Plan(name="gold", markup=Decimal("1.25"), free_calls=0))
    assert plan_id(plan) != plan_id(Plan(name="gold", markup=Decimal("1.3")))
    # Entries name plans by this for as long as they are kept: it may never come out otherwise.
    digest = hashlib.sha256(b'{"markup":"1.25","name":"gold"}').hexdigest()
    assert plan_id(plan) == f"gold@{digest[:8]}"
    assert plan_id(AT_COST) == plan_id(current_plan({}, "at-cost")) == ""


def test_the_last_of_a_name_is_current_and_the_older_ones_stay_known() -> None:
    text = json.dumps([{"name": "gold", "markup": "1.2"}, {"name": "gold", "markup": "1.3"}])
    plans = read_plans(text)
    assert current_plan(plans, "gold").markup == Decimal("1.3")
    assert sorted(plan.markup for plan in plans.values()) == [Decimal("1.2"), Decimal("1.3")]
    assert current_plan(plans, "at-cost") == AT_COST


def test_plans_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plans.json"
    file.write_text('[{"name": "gold", "usd_per_call": 0.001}]', encoding="utf-8")
    (plan,) = read_plans(str(file)).values()
    assert plan.usd_per_call == Decimal("0.001")
    assert read_plans("") == {}


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"markup": "-0.5"}, "markup"),
        ({"markup": "NaN"}, "markup"),
        ({"markup": "1e7"}, "markup"),
        ({"usd_per_call": "Infinity"}, "usd_per_call"),
        ({"usd_per_call": "1e-10"}, "usd_per_call"),
        ({"usd_per_million_tokens": -1}, "usd_per_million_tokens"),
        ({"usd_per_call": 1, "markup": 2}, "markup"),
        ({"free_calls": -1}, "free_calls"),
        ({"free_calls": 10**16}, "free_calls"),
        ({"free_tokens": 5}, "free_tokens"),
        ({"volumes": [{"over_tokens": 1, "discount": "0.1"}]}, "volumes"),
        (
            {"usd_per_million_tokens": 1, "volumes": [{"over_tokens": 1, "discount": "1.1"}]},
            "discount",
        ),
        (
            {
                "usd_per_million_tokens": 1,
                "volumes": [
                    {"over_tokens": 5, "discount": "0.1"},
                    {"over_tokens": 5, "discount": "0.2"},
                ],
            },
            "over_tokens",
        ),
        ({"discount": 1}, "discount"),
    ],
)
def test_absurd_terms_are_refused_by_plan_and_field(terms: dict[str, object], field: str) -> None:
    with pytest.raises(SettingsError, match=rf"Plan gold: .*{field}"):
        read_plans(json.dumps([{"name": "gold", **terms}]))


@pytest.mark.parametrize("text", ["[", "{}", "[1]", "/nowhere/plans.json", '[{"name": "A b"}]'])
def test_what_is_no_list_of_plans_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match="FARTHING_PLANS"):
        read_plans(text)


def test_an_unknown_plan_is_refused_with_those_there_are() -> None:
    plans = read_plans('[{"name": "gold", "markup": 2}]')
    with pytest.raises(SettingsError, match="at-cost, gold"):
        current_plan(plans, "silver")


def test_a_plan_made_in_code_is_held_to_the_same_terms() -> None:
    with pytest.raises(SettingsError, match=r"Plan x: volumes\.discount"):
        Plan(
            name="x",
            usd_per_million_tokens=Decimal(1),
            volumes=(Volume(0, Decimal("-0.1")),),
        )
