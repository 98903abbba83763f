"""Conditions as they are typed, `brand=bosch` and `price<100`, as a search's filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
CONDITION = re.compile(
    r"\s*(?P<field>[^<>=]+?)\s*(?P<sign><=|>=|<|>|=)\s*(?P<value>.*?)\s*", re.DOTALL
)


def filter_of(conditions: Sequence[str], numbers: frozenset[str]) -> dict[str, Any]:
    """The filter that all of the conditions make together.

    `field=value` again for the same field means either value. `numbers` are the fields whose
    values are numbers.

    Raises `SettingsError` for what is no condition.
    """
    found: dict[str, Any] = {}
    for condition in conditions:
        parts = CONDITION.fullmatch(condition)
        if parts is None:
            raise SettingsError(
                "--filter takes a field, a sign and a value, and one here is otherwise. Write "
                "brand=bosch, price<100, price<=100, price>10 or price>=10."
            )
        field, sign = parts["field"], parts["sign"]
        if sign == "=":
            values = found.setdefault(field, [])
            if not isinstance(values, list):
                raise _both(field)
            values.append(_number(parts["value"]) if field in numbers else parts["value"])
        else:
            bounds = found.setdefault(field, {})
            if not isinstance(bounds, dict):
                raise _both(field)
            bounds[BOUNDS[sign]] = _number(parts["value"])
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            "--filter compares a field of numbers with what is no number. Write price<99.5."
        ) from None


def _both(field: str) -> SettingsError:
    return SettingsError(
        f"--filter asks of {field} both for a value and for a range. Ask for one of them."
    )
