"""How much to commit to, where a commitment is cheaper by the hour and paid in every hour."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.money import EXACT, multiply

if TYPE_CHECKING:
    from collections.abc import Sequence


class Mix(msgspec.Struct, frozen=True):
    """`committed` units in every hour, and so many unit-hours on demand beyond them."""

    committed: int
    committed_hours: int
    on_demand_hours: int
    committed_rate: Decimal
    on_demand_rate: Decimal

    @property
    def usd(self) -> Decimal:
        return EXACT.add(
            multiply(Decimal(self.committed_hours), self.committed_rate),
            multiply(Decimal(self.on_demand_hours), self.on_demand_rate),
        )


def cheapest_mix(
    needed_by_hour: Sequence[int], committed_rate: Decimal, on_demand_rate: Decimal
) -> Mix:
    """The cheapest commitment for hours that need so many units each.

    A unit is worth committing to if it is needed in at least committed ÷ on-demand rate of the
    hours. So the units are as many as that quantile of the hours needs: the newsvendor's rule
    (Arrow, Harris and Marschak 1951).
    """
    hours = len(needed_by_hour)
    worth_hours = math.floor(committed_rate * hours / on_demand_rate)
    descending = sorted(needed_by_hour, reverse=True)
    committed = descending[worth_hours] if worth_hours < hours else 0
    return Mix(
        committed,
        committed * hours,
        sum(max(0, needed - committed) for needed in needed_by_hour),
        committed_rate,
        on_demand_rate,
    )
