"""A filter is checked against the index's columns before anything is searched."""

from __future__ import annotations

import math
from typing import Any

import pytest

from farthing.errors import InvalidRequest
from farthing.search.errors import FilterUnknown
from farthing.search.filters import VALUES_MAX, Condition, Interval, Where
from farthing.search.manifest import Filter

FILTERS = (Filter("brand"), Filter("price", "number"))


@pytest.mark.parametrize(
    ("filter_", "conditions"),
    [
        ({}, ()),
        ({"brand": "bosch"}, (Condition(0, ("bosch",)),)),
        ({"brand": ["bosch", "miele", "bosch"]}, (Condition(0, ("bosch", "miele")),)),
        ({"price": 10}, (Condition(1, (), (Interval(10.0, 10.0),)),)),
        ({"price": [1, 2.5]}, (Condition(1, (), (Interval(1, 1), Interval(2.5, 2.5))),)),
        (
            {"price": {"gte": 10, "lt": 99.5}},
            (Condition(1, (), (Interval(10, 99.5, True, False),)),),
        ),
        ({"price": {"gt": 3}}, (Condition(1, (), (Interval(3, math.inf, False, True),)),)),
        (
            {"brand": "aeg", "price": {"lte": 5}},
            (Condition(0, ("aeg",)), Condition(1, (), (Interval(-math.inf, 5),))),
        ),
    ],
)
def test_a_filter_is_read_as_conditions(filter_: Any, conditions: Any) -> None:
    assert Where.parse(filter_, FILTERS) == Where(conditions)


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ({"colour": "red"}, r"Filter by one of its fields \(brand, price\)"),
        ({"brand": 3}, "brand holds words"),
        ({"brand": ["aeg", None]}, "brand holds words"),
        ({"brand": {"gte": "a"}}, "brand holds words"),
        ({"brand": []}, "0 values for brand"),
        ({"brand": ["a"] * (VALUES_MAX + 1)}, f"1 to {VALUES_MAX} are possible"),
        ({"price": "10"}, "price holds numbers"),
        ({"price": True}, "price holds numbers"),
        ({"price": None}, "price holds numbers"),
        ({"price": math.nan}, "price holds numbers"),
        ({"price": {"lt": math.inf}}, "price holds numbers"),
        ({"price": 10**400}, "price holds numbers"),
        ({"price": {}}, "Give one or two of gt, gte, lt and lte"),
        ({"price": {"above": 3}}, "Give one or two of gt, gte, lt and lte"),
        ({"price": {"gt": 1, "gte": 1}}, "two bounds on one side"),
    ],
)
def test_what_a_column_cannot_be_is_refused(filter_: Any, said: str) -> None:
    with pytest.raises(FilterUnknown, match=said) as refused:
        Where.parse(filter_, FILTERS)
    assert isinstance(refused.value, InvalidRequest)


def test_an_index_without_filters_says_so_and_repeats_no_input() -> None:
    with pytest.raises(FilterUnknown, match="none at all") as refused:
        Where.parse({"secret-token": "x"}, ())
    assert "secret-token" not in str(refused.value)
