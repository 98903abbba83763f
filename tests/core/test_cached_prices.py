"""What tokens are sold for that the cache answered: a share of their price, exactly, and once.

The amounts that are expected are whole numbers of 1e-33 USD, worked out here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.invoices import statement_of, usage_of
from farthing.billing.plans import (
    AT_COST,
    COUNT_MAX,
    TERM_MAX,
    Plan,
    Volume,
    plan_id,
    read_plans,
)
from farthing.billing.valuation import Valuer
from farthing.errors import SettingsError
from tests.core.entries import MONTH, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.ledger import Entry

NANO = 10**9
UNITS_PER_USD = 10**51
# An answer: its tokens, those of them that the cache answered, whether it could wait.
answers = st.lists(
    st.integers(0, 60).flatmap(
        lambda tokens: st.tuples(st.just(tokens), st.integers(0, tokens), st.booleans())
    ),
    max_size=14,
)
shares = st.one_of(st.sampled_from([0, NANO // 10, NANO]), st.integers(0, NANO))
terms = st.fixed_dictionaries(
    {
        "call": st.integers(0, NANO),
        "million": st.integers(1, 100 * NANO),
        "cached": shares,
        "low": st.integers(1, NANO),
        "free_calls": st.integers(0, 3),
        "free_tokens": st.integers(0, 200),
        "volumes": st.lists(
            st.tuples(st.integers(0, 400), shares), max_size=3, unique_by=lambda one: one[0]
        ).map(sorted),
    }
)


def plan_of(said: dict[str, Any]) -> Plan:
    return Plan(
        name="flat",
        usd_per_call=Decimal(said["call"]) / NANO,
        usd_per_million_tokens=Decimal(said["million"]) / NANO,
        cached=Decimal(said["cached"]) / NANO,
        low_priority=Decimal(said["low"]) / NANO,
        free_calls=said["free_calls"],
        free_tokens=said["free_tokens"],
        volumes=tuple(Volume(over, Decimal(off) / NANO) for over, off in said["volumes"]),
    )


def entries_of(sold: Sequence[tuple[int, int, bool]], plan: Plan) -> list[Entry]:
    names = {is_low: plan_id(plan.low() if is_low else plan) for is_low in (False, True)}
    return [
        entry(
            number,
            plan=names[is_low],
            prompt_tokens=tokens,
            cached_tokens=cached,
            cache="hit" if cached == tokens else "miss",
        )
        for number, (tokens, cached, is_low) in enumerate(sold)
    ]


def owed(sold: Sequence[tuple[int, int, bool]], said: dict[str, Any]) -> tuple[list[int], int]:
    """Each answer's price, and what the month comes to, token by token.

    A price has 9 decimals for each of: a million, a share of the cache, a share for waiting, a
    discount; 6 more for one token; 51 hold them and a call.
    """
    prices, month, free, counted = [], 0, said["free_tokens"], 0
    for index, (tokens, cached, is_low) in enumerate(sold):
        waits = said["low"] if is_low else NANO
        call = said["call"] * waits * 10**33
        price, due = call, call
        for place in range(tokens):
            share = said["cached"] if place >= tokens - cached else NANO
            token = said["million"] * share * waits * 10**18
            price += token
            counted += 1
            off = [discount for over, discount in said["volumes"] if counted > over]
            if free and index >= said["free_calls"]:
                free -= 1
            else:
                due += token - token // NANO * (off[-1] if off else 0)
        prices.append(price)
        month += 0 if index < said["free_calls"] else due
    return prices, month


@given(sold=answers, said=terms)
def test_prices_and_the_invoice_are_what_counting_token_by_token_gives(
    sold: list[tuple[int, int, bool]], said: dict[str, Any]
) -> None:
    plan = plan_of(said)
    entries, valuer = entries_of(sold, plan), Valuer({plan_id(plan): plan})
    prices, month = owed(sold, said)
    told = [valuer.value(one).price for one in entries]
    assert [Fraction(one.total) * UNITS_PER_USD for one in told] == prices
    statement = statement_of("acme", entries, valuer, MONTH)
    assert Fraction(statement.total) * UNITS_PER_USD == month
    credited = sum(Fraction(one.line.amount) for one in statement.lines if not one.day)
    assert sum(Fraction(one.total) for one in told) + credited == Fraction(statement.total)
    assert sum(Fraction(day.price) for day in statement.days) * UNITS_PER_USD == sum(prices)


@given(sold=answers, said=terms)
def test_no_month_is_dearer_with_a_cache_than_without(
    sold: list[tuple[int, int, bool]], said: dict[str, Any]
) -> None:
    plan = plan_of(said)
    valuer = Valuer({plan_id(plan): plan})
    computed = [(tokens, 0, is_low) for tokens, _, is_low in sold]
    months = [
        statement_of("acme", entries_of(one, plan), valuer, MONTH).total for one in (sold, computed)
    ]
    assert months[0] <= months[1]


def test_cached_tokens_have_a_line_of_their_own_beside_the_others() -> None:
    plan = Plan(usd_per_call=Decimal("0.0001"), usd_per_million_tokens=Decimal("0.02"))
    valuer = Valuer({plan_id(plan): plan})
    told = {
        cached: [
            (line.rule, line.quantity, line.rate)
            for line in valuer.value(
                entry(plan=plan_id(plan), prompt_tokens=50, cached_tokens=cached)
            ).price.lines
            if line.rule != "plan.calls"
        ]
        for cached in (0, 20, 50)
    }
    computed, kept = Decimal("0.02"), Decimal("0.002")
    assert told == {
        0: [("plan.tokens", Decimal("0.00005"), computed)],
        20: [
            ("plan.tokens", Decimal("0.00003"), computed),
            ("plan.cached_tokens", Decimal("0.00002"), kept),
        ],
        50: [("plan.cached_tokens", Decimal("0.00005"), kept)],
    }


@pytest.mark.parametrize(
    "plan", [AT_COST, Plan(name="gold", markup=Decimal("1.5")), Plan(usd_per_call=Decimal(1))]
)
def test_where_tokens_have_no_price_a_hit_is_sold_as_any_answer(plan: Plan) -> None:
    valuer = Valuer({plan_id(plan): plan})
    hit = entry(plan=plan_id(plan), cache="hit", cached_tokens=10)
    plain = entry(plan=plan_id(plan))
    assert valuer.value(hit).price == valuer.value(plain).price


def test_a_hit_costs_what_it_was_busy_for() -> None:
    valuer = Valuer({})
    hit = entry(cache="hit", cached_tokens=10, busy_ns=40_000)
    assert valuer.value(hit).cost == valuer.value(entry(busy_ns=40_000)).cost


def test_hits_and_cached_tokens_are_counted_where_they_are_sold() -> None:
    entries = [
        entry(1, prompt_tokens=10, cached_tokens=10, cache="hit"),
        entry(2, prompt_tokens=10, cached_tokens=4, cache="miss"),
        entry(3, prompt_tokens=10, cache="miss"),
        # The platform's second try of the first is not sold.
        entry(4, request_id="r1", prompt_tokens=10, cached_tokens=10, cache="hit"),
    ]
    (row,) = usage_of(entries, Valuer({}), MONTH)["acme"]
    assert (row.calls, row.cached, row.prompt_tokens, row.cached_tokens) == (3, 1, 30, 14)
    assert row.as_json()["cached_tokens"] == 14


def test_what_cached_tokens_are_sold_for_changes_no_older_plans_id() -> None:
    for said in (
        {"name": "flat", "usd_per_million_tokens": "2"},
        {"free_tokens": 5, "name": "flat", "usd_per_call": "0.1", "usd_per_million_tokens": "2"},
    ):
        # As entries name it since before plans had the term.
        digest = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
        assert list(read_plans(json.dumps([said]))) == [f"flat@{digest[:8]}"]
    plan = Plan(name="flat", usd_per_million_tokens=Decimal(2))
    assert plan_id(plan) != plan_id(msgspec.structs.replace(plan, cached=Decimal(0)))
    assert plan_id(plan) == plan_id(msgspec.structs.replace(plan, cached=Decimal("0.10")))


@pytest.mark.parametrize("share", ["-0.1", "1.5", "NaN", "0.0000000001"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    said = f'[{{"name": "gold", "usd_per_million_tokens": 1, "cached": "{share}"}}]'
    with pytest.raises(SettingsError, match="Plan gold: cached"):
        read_plans(said)


def test_a_share_of_no_price_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"cached is about tokens.*gives no price"):
        read_plans('[{"name": "gold", "cached": "0.5"}]')


def test_the_longest_terms_of_the_largest_month_are_still_exact() -> None:
    odd = Decimal("0.123456789")
    plan = Plan(
        name="long",
        usd_per_million_tokens=TERM_MAX - odd,
        cached=odd,
        low_priority=odd,
        free_tokens=7,
        volumes=(Volume(3, odd),),
    )
    one = entry(plan=plan_id(plan.low()), prompt_tokens=COUNT_MAX - 1, cached_tokens=COUNT_MAX - 9)
    statement = statement_of("acme", [one], Valuer({plan_id(plan): plan}), MONTH)
    rate = Fraction(plan.usd_per_million_tokens) * Fraction(odd) / 10**6
    # Eight were computed: seven are free, and one lies beyond the third.
    cached = (COUNT_MAX - 9) * rate * Fraction(odd)
    assert Fraction(statement.total) == (rate + cached) * (1 - Fraction(odd))
