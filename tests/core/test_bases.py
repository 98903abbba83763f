"""Two bases: what a tenant's own attempts cost, and that with its part of the house's."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.bases import load

AMOUNTS = st.decimals(0, 10**6, places=15)


def test_the_house_is_spread_in_proportion_to_what_tenants_cost() -> None:
    loaded = load({"acme": Decimal(3), "globex": Decimal(1)}, Decimal("0.8"))
    assert loaded["acme"].loaded == Decimal("3.6")
    assert loaded["globex"].loaded == Decimal("1.2")
    assert loaded["acme"].marginal == 3


def test_a_credit_of_the_month_makes_everybody_cheaper() -> None:
    loaded = load({"acme": Decimal(3), "globex": Decimal(1)}, Decimal("-0.4"))
    assert [bases.loaded for bases in loaded.values()] == [Decimal("2.7"), Decimal("0.9")]


def test_while_nobody_costs_anything_nobody_bears_the_house() -> None:
    assert load({}, Decimal(5)) == {}
    assert load({"acme": Decimal(0)}, Decimal(5))["acme"].loaded == 0


@given(
    marginal=st.dictionaries(st.text(max_size=3), AMOUNTS, min_size=1, max_size=8),
    house=st.decimals(-(10**6), 10**6, places=9),
)
def test_loaded_costs_add_up_to_all_that_was_paid(
    marginal: dict[str, Decimal], house: Decimal
) -> None:
    loaded = load(marginal, house)
    paid = sum(marginal.values()) + (house if any(marginal.values()) else 0)
    assert sum(bases.loaded for bases in loaded.values()) == paid
