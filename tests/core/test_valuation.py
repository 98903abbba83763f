"""What an entry cost and was sold for, derived again at any later time."""

from decimal import Decimal

import pytest

from farthing.billing.meter import Meter
from farthing.billing.plans import Plan, plan_id
from farthing.billing.prices import read_price_book
from farthing.billing.tariff import Tariff
from farthing.billing.valuation import Valuer
from farthing.errors import LedgerError, PriceMissing
from tests.core.entries import FC, KNATIVE, LAMBDA, entry

GOLD = Plan(name="gold", markup=Decimal("1.5"))
VALUER = Valuer({plan_id(GOLD): GOLD})


@pytest.mark.parametrize("tariff", [LAMBDA, FC, KNATIVE])
def test_an_answer_is_worth_what_the_meter_said_when_it_was_given(tariff: Tariff) -> None:
    one = entry(tariff=tariff, busy_ns=1_234_567, memory_mb=1769)
    cost = Meter(read_price_book(), tariff, "measured").cost(one.usage)
    assert VALUER.value(one).cost == cost == VALUER.value(one).price


def test_the_plan_that_the_entry_names_makes_the_price() -> None:
    valued = VALUER.value(entry(plan=plan_id(GOLD)))
    assert valued.price.total == valued.cost.total * Decimal("1.5")


def test_a_refusal_costs_and_is_not_sold() -> None:
    valued = VALUER.value(entry(kind="refusal", tenant="house", plan=plan_id(GOLD)))
    assert valued.cost.total > 0 == valued.price.total


def test_idle_time_costs_by_the_idle_rule_and_is_not_sold() -> None:
    valued = VALUER.value(entry(kind="idle", tenant="house", tariff=LAMBDA))
    assert valued.cost.total == 0 == valued.price.total
    assert VALUER.value(entry(kind="idle", tenant="house", tariff=KNATIVE)).cost.total > 0


def test_a_cap_lowers_the_price_and_leaves_the_cost() -> None:
    valued = VALUER.value(entry(price_max_pico=1))
    assert valued.price.total == Decimal("1E-12")
    assert valued.cost == VALUER.value(entry()).cost


def test_an_unknown_plan_is_named() -> None:
    with pytest.raises(LedgerError, match="silver@00000000"):
        VALUER.value(entry(plan="silver@00000000"))


def test_an_unknown_price_book_or_region_is_refused() -> None:
    with pytest.raises(PriceMissing, match="1999-01-01"):
        VALUER.value(entry(tariff=Tariff("lambda", "us-east-1", "x86_64", book="1999-01-01")))
    with pytest.raises(PriceMissing, match="mars-1"):
        VALUER.value(entry(tariff=Tariff("lambda", "mars-1", "x86_64")))


def test_sums_of_quantities_cost_what_the_entries_cost() -> None:
    entries = [entry(1), entry(2, kind="idle", tariff=KNATIVE), entry(3, tariff=KNATIVE)]
    for one in entries:
        lines = VALUER.meter(one.tariff).lines(VALUER.quantities(one))
        assert sum(line.amount for line in lines) == VALUER.value(one).cost.total
