"""The two bases of what a tenant costs: marginal, and fully loaded with the house's share."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.money import EXACT, split

if TYPE_CHECKING:
    from collections.abc import Mapping


class Bases(msgspec.Struct, frozen=True):
    """`marginal` is what the tenant's own attempts cost; `loaded` adds its part of the rest."""

    marginal: Decimal
    loaded: Decimal


def load(marginal: Mapping[str, Decimal], house: Decimal) -> dict[str, Bases]:
    """Each tenant's bases, in US dollars; their loaded costs add up to all that was paid.

    `house` is what nobody's attempts cost: refusals, idle floors and warm pools, snapshots, logs,
    recording, and what the month credits. It is spread in proportion to the marginal costs, to
    the last digit that any of the amounts has, by largest remainders. While nobody used anything
    it stays with the house: the loaded costs are then the marginal ones, 0.
    """
    amounts = [*marginal.values(), house]
    digits = max(0, *(-int(amount.as_tuple().exponent) for amount in amounts))
    weights = [int(EXACT.scaleb(amount, digits)) for amount in marginal.values()]
    if not any(weights):
        return {tenant: Bases(amount, amount) for tenant, amount in marginal.items()}
    parts = split(int(EXACT.scaleb(house, digits)), weights)
    return {
        tenant: Bases(amount, EXACT.add(amount, EXACT.scaleb(Decimal(part), -digits)))
        for (tenant, amount), part in zip(marginal.items(), parts, strict=True)
    }
