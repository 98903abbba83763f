"""A shard's charge told request by request: the portions add up to it, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from farthing.billing.meter import line_of
from farthing.money import EXACT, ZERO, split, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.meter import Charge, Line
    from farthing.usage import Usage

# A request's part of one invocation is a fraction: quantities are split in these units or finer.
DECIMALS_MIN: Final = 12


def portions_of(price: Charge, weights: Sequence[int]) -> list[Charge]:
    """Each request's part of the price, in proportion to its weight.

    A line's rate stays and its quantity is split, by largest remainders, so that every portion's
    amounts are its own quantities times the rates. A line on the sum of those before it (a mark-up,
    say) is on that sum in every portion. Weights are 1 or more.
    """
    portions: list[list[Line]] = [[] for _ in weights]
    before = ZERO
    for line in price.lines:
        if line.unit == "USD" and line.quantity == before:
            quantities = [total(own.amount for own in portion) for portion in portions]
        else:
            quantities = _split_quantity(line.quantity, weights)
        for portion, quantity in zip(portions, quantities, strict=True):
            portion.append(line_of(line.rule, quantity, line.unit, line.rate))
        before = EXACT.add(before, line.amount)
    billed_ms = split(price.billed_ms, weights)
    return [
        msgspec.structs.replace(
            price,
            lines=tuple(portion),
            total=total(line.amount for line in portion),
            billed_ms=own_ms,
        )
        for portion, own_ms in zip(portions, billed_ms, strict=True)
    ]


def usages_of(usage: Usage, tokens: Sequence[int], truncated: Sequence[int]) -> list[Usage]:
    """Each request's own tokens, and its part of the time in proportion to them."""
    weights = [max(1, own) for own in tokens]
    busy_ns, init_ns = split(usage.busy_ns, weights), split(usage.init_ns, weights)
    return [
        msgspec.structs.replace(
            usage,
            prompt_tokens=tokens[index],
            truncated=truncated[index],
            busy_ns=busy_ns[index],
            init_ns=init_ns[index],
        )
        for index in range(len(weights))
    ]


def _split_quantity(quantity: Decimal, weights: Sequence[int]) -> list[Decimal]:
    decimals = max(DECIMALS_MIN, -int(quantity.as_tuple().exponent))
    whole = int(EXACT.scaleb(quantity, decimals))
    return [EXACT.scaleb(Decimal(part), -decimals) for part in split(whole, weights)]
