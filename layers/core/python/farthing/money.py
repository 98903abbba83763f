"""Exact money: decimals that never round, printed plainly, and splits that re-add."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# 60 digits hold any quantity times any rate; a result that would need rounding is a bug in a
# price row or a unit, and must raise rather than lose a fraction.
EXACT = decimal.Context(
    prec=60,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
ZERO = Decimal(0)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """The exact product. Raises `decimal.Inexact` where 60 digits do not hold it."""
    return EXACT.multiply(left, right)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum; 0 for none."""
    summed = ZERO
    for amount in amounts:
        summed = EXACT.add(summed, amount)
    return summed


def ratio(numerator: int, denominator: int) -> Decimal:
    """The exact quotient. Raises `decimal.Inexact` unless the denominator is 2s and 5s."""
    return EXACT.divide(Decimal(numerator), Decimal(denominator))


def plain(amount: Decimal) -> str:
    """The amount as a plain decimal string: no exponent, no trailing zeros."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def split(quantity: int, weights: Sequence[int]) -> list[int]:
    """Integer parts of `quantity` in proportion to `weights`; they always add up to it.

    Largest remainders (Hamilton's method); ties go to the earlier part. Weights are 0 or more
    and not all 0.
    """
    whole = sum(weights)
    parts = [quantity * weight // whole for weight in weights]
    short = quantity - sum(parts)
    if short:
        by_remainder = sorted(
            range(len(weights)), key=lambda index: -(quantity * weights[index] % whole)
        )
        for index in by_remainder[:short]:
            parts[index] += 1
    return parts
