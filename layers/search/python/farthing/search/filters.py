"""What a search is narrowed to: `{"brand": ["bosch", "miele"], "price": {"gte": 10, "lt": 99.5}}`.

A value stands for itself, a list for any of its values, an object for a range of numbers; what is
said of several columns holds together. A row without a value is never found by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from farthing.search.errors import FilterUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.search.manifest import Filter

VALUES_MAX = 256


class Interval(NamedTuple):
    """Numbers from `low` to `high`; the ends belong to it where `with_low`, `with_high` say so."""

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True


class Condition(NamedTuple):
    """What column number `column` of the manifest's filters has to be: any of these."""

    column: int
    words: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()


class Where(NamedTuple):
    """A filter that was checked against an index's columns; all conditions hold together."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, filter: dict[str, Any], filters: Sequence[Filter]) -> Where:  # noqa: A002
        """The filter of a request, as JSON gave it.

        Raises `FilterUnknown` for a column that is none of `filters`, and for values that such a
        column cannot have.
        """
        columns = {column.name: place for place, column in enumerate(filters)}
        unknown = filter.keys() - columns.keys()
        if unknown:
            known = ", ".join(columns) or "none at all"
            raise FilterUnknown(
                "The filter names a field that this index cannot be filtered by. "
                f"Filter by one of its fields ({known}), or leave the filter out."
            )
        conditions = []
        for name, asked in filter.items():
            place = columns[name]
            read = _words if filters[place].kind == "keyword" else _intervals
            conditions.append(read(place, name, asked))
        return cls(tuple(conditions))


def _words(place: int, name: str, asked: Any) -> Condition:
    values = _values(name, asked)
    if not all(isinstance(value, str) for value in values):
        raise FilterUnknown(
            f"The filter compares {name} with something other than text, but {name} holds words. "
            "Give a string, or a list of strings."
        )
    return Condition(place, words=tuple(dict.fromkeys(values)))


def _intervals(place: int, name: str, asked: Any) -> Condition:
    if isinstance(asked, dict):
        return Condition(place, intervals=(_range(name, asked),))
    numbers = [_number(name, value) for value in _values(name, asked)]
    return Condition(place, intervals=tuple(Interval(value, value) for value in numbers))


def _range(name: str, asked: dict[str, Any]) -> Interval:
    if not asked or asked.keys() - {"gt", "gte", "lt", "lte"}:
        raise FilterUnknown(
            f"The filter's range of {name} has no bound, or one that is unknown. "
            "Give one or two of gt, gte, lt and lte."
        )
    if asked.keys() >= {"gt", "gte"} or asked.keys() >= {"lt", "lte"}:
        raise FilterUnknown(
            f"The filter's range of {name} has two bounds on one side. Leave one of them out."
        )
    bounds = {bound: _number(name, value) for bound, value in asked.items()}
    return Interval(
        bounds.get("gte", bounds.get("gt", -math.inf)),
        bounds.get("lte", bounds.get("lt", math.inf)),
        "gt" not in bounds,
        "lt" not in bounds,
    )


def _values(name: str, asked: Any) -> list[Any]:
    values = asked if isinstance(asked, list) else [asked]
    if not 1 <= len(values) <= VALUES_MAX:
        raise FilterUnknown(
            f"The filter lists {len(values)} values for {name}; 1 to {VALUES_MAX} are possible. "
            "Shorten the list, or leave the field out."
        )
    return values


def _number(name: str, value: Any) -> float:
    # True is a number to Python, but to nobody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise FilterUnknown(
            f"The filter compares {name} with something other than a number, but {name} holds "
            "numbers. Give a number, a list of numbers, or a range with gt, gte, lt or lte."
        )
    # Minus zero is zero here, as it is in the columns.
    return float(value) + 0.0


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
