"""A search's filter in the languages of the stores."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from farthing.search.filters import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farthing.search.filters import Condition, Interval
    from farthing.search.manifest import Filter


def mongo_filter(
    where: Mapping[str, Any] | None, filters: Sequence[Filter]
) -> dict[str, Any] | None:
    """The filter as Chroma and Pinecone spell it, after MongoDB; None where there is none.

    Raises `FilterUnknown` as a search of an index does.
    """
    clauses: list[dict[str, Any]] = []
    for condition in Where.parse(dict(where or {}), filters).conditions:
        name = filters[condition.column].name
        if values := _values(condition):
            clauses.append({name: {"$in": values}})
        for interval in _ranges(condition):
            clauses += [{name: {f"${bound}": edge}} for bound, edge in _bounds(interval)]
    if len(clauses) > 1:
        return {"$and": clauses}
    return clauses[0] if clauses else None


def milvus_filter(
    where: Mapping[str, Any] | None, filters: Sequence[Filter], field: Callable[[str], str]
) -> str:
    """The filter as Milvus spells it, "" where there is none; `field` names a filter's field.

    What the caller gave stands in it as a literal only. Raises `FilterUnknown` as a search does.
    """
    operators = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    clauses: list[str] = []
    for condition in Where.parse(dict(where or {}), filters).conditions:
        name = field(filters[condition.column].name)
        if values := _values(condition):
            clauses.append(milvus_any_of(name, values))
        for interval in _ranges(condition):
            clauses += [f"{name} {operators[bound]} {edge!r}" for bound, edge in _bounds(interval)]
    return " and ".join(clauses)


def plain_filter(where: Where | None, filters: Sequence[Filter]) -> dict[str, Any] | None:
    """The filter as a request has it, from one that was checked; None where there is none."""
    if where is None:
        return None
    return {
        filters[one.column].name: _values(one) or dict(_bounds(_ranges(one)[0]))
        for one in where.conditions
    }


def milvus_any_of(field: str, values: Sequence[str | float]) -> str:
    """The condition that a field is one of the values, which are literals in it."""
    # The client's own way to name ids puts them between quotes as they are.
    literals = ", ".join(json.dumps(value, ensure_ascii=False) for value in values)
    return f"{field} in [{literals}]"


def _values(condition: Condition) -> list[str | float]:
    """What the column may be, where that is a list; a number stands for an interval of itself."""
    return [*condition.words, *(one.low for one in condition.intervals if _is_point(one))]


def _ranges(condition: Condition) -> list[Interval]:
    """The range that the column must be in, if any: a filter has one for a column at most."""
    return [one for one in condition.intervals if not _is_point(one)]


def _is_point(interval: Interval) -> bool:
    return interval.low == interval.high and interval.with_low and interval.with_high


def _bounds(interval: Interval) -> Iterator[tuple[str, float]]:
    if not math.isinf(interval.low):
        yield ("gte" if interval.with_low else "gt"), interval.low
    if not math.isinf(interval.high):
        yield ("lte" if interval.with_high else "lt"), interval.high
