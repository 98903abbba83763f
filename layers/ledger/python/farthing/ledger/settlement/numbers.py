"""Numbers as providers write them, read without floating point."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from farthing.ledger.settlement.faults import Malformed
from farthing.usage import NS_PER_MS

# Longer than any provider lets an invocation or a pod's day of one be; beyond it is a broken line.
DURATION_MAX_MS = 366 * 86_400_000
MEMORY_MAX_MB = 1_048_576
# The end of the year 9999.
MOMENT_MAX_MS = 253_402_300_799_999


def read_json(text: str) -> dict[str, Any]:
    """The object of a JSON text, its fractions as exact decimals. Raises `Malformed`."""
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Malformed("JSON that is cut off or broken") from None
    if not isinstance(document, dict):
        raise Malformed("JSON that is no object")
    return document


def duration_ns(value: object, name: str) -> int:
    """Milliseconds with a fraction, as text or number, in whole nanoseconds."""
    return int((_number(value, name, DURATION_MAX_MS) * NS_PER_MS).to_integral(ROUND_HALF_EVEN))


def whole_ms(value: object, name: str) -> int:
    """Milliseconds rounded up, as everything billed is."""
    return int(_number(value, name, DURATION_MAX_MS).to_integral(ROUND_CEILING))


def whole_mb(value: object, name: str, *, least: int = 1) -> int:
    """Megabytes, rounded up."""
    found = int(_number(value, name, MEMORY_MAX_MB).to_integral(ROUND_CEILING))
    if found < least:
        raise Malformed(f"{name} is {found}")
    return found


def moment_ms(value: object, name: str, ms_per_unit: int = 1) -> int:
    """A moment since 1970 in milliseconds, from one in such units."""
    moment = _number(value, name, MOMENT_MAX_MS) * ms_per_unit
    return min(MOMENT_MAX_MS, int(moment.to_integral(ROUND_HALF_EVEN)))


def _number(value: object, name: str, value_max: int) -> Decimal:
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Malformed(f"{name} is missing" if value is None else f"{name} is no number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise Malformed(f"{name} is no number") from None
    if not number.is_finite() or not 0 <= number <= value_max:
        raise Malformed(f"{name} is out of range")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(constant)
