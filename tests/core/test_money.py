"""Money is exact or it raises; splits always re-add."""

from decimal import Decimal, Inexact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.money import multiply, plain, ratio, split, total


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-12", "0"),
        ("1E-9", "0.000000001"),
        ("2.340E-7", "0.000000234"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("1.50", "1.5"),
    ],
)
def test_amounts_print_without_exponent_or_trailing_zeros(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


def test_a_result_that_needs_rounding_raises() -> None:
    with pytest.raises(Inexact):
        ratio(1, 3)
    with pytest.raises(Inexact):
        multiply(Decimal("1." + "3" * 40), Decimal("1." + "7" * 40))


@given(st.lists(st.decimals(min_value=0, max_value=10**6, places=18), max_size=20))
def test_a_total_does_not_depend_on_the_order(amounts: list[Decimal]) -> None:
    assert total(amounts) == total(reversed(amounts))


@given(
    st.integers(min_value=0, max_value=10**15),
    st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=12).filter(any),
)
def test_a_split_re_adds_and_no_part_is_off_by_one_whole(quantity: int, weights: list[int]) -> None:
    parts = split(quantity, weights)
    assert sum(parts) == quantity
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * whole - quantity * weight) < whole


def test_what_is_left_of_a_split_goes_to_the_largest_remainder() -> None:
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(7, [5, 3, 2]) == [4, 2, 1]
