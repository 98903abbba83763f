"""Prices that a bound cuts off: a budget's end, a quote that binds."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import line_of
from farthing.billing.tenants import PICO_PER_USD
from farthing.money import EXACT, ratio

if TYPE_CHECKING:
    from farthing.billing.meter import Charge

MINUS_ONE = Decimal(-1)


def capped(price: Charge, most_pico: int, rule: str = "budget.cap") -> Charge:
    """The price, at most so many millionths of a millionth of a dollar: a last line takes off
    what the tenant's budget could not cover, or was not quoted, and the house bears it.
    """
    over = EXACT.subtract(price.total, ratio(most_pico, PICO_PER_USD))
    if over <= 0:
        return price
    cap = line_of(rule, over, "USD", MINUS_ONE)
    return msgspec.structs.replace(
        price, lines=(*price.lines, cap), total=EXACT.add(price.total, cap.amount)
    )
