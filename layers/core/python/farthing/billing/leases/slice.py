"""A lease as one process spends it: exact amounts, and a moment after which it is not spent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.tenants import resets_at
from farthing.money import EXACT, ZERO

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.billing.tenants import Lease

# One US dollar is 10 to this power pico-USD.
PICO_DIGITS = 12
# Clocks of two machines differ, and an entry takes its time to arrive.
MARGIN_MS = 10_000
# From this share on a caller is told that its budget runs out.
NEAR_END = (4, 5)


class NearEnd(msgspec.Struct, frozen=True):
    """A budget of which 80 % or more is spent or lent out, as this process knows it."""

    spent_share: float
    left_pico: int
    window: str


class Slice:
    """Amounts are exact pico-USD: `free` and what is held or spent add up to the lease.

    `is_tight`: the budget is nearly out, so nothing of it is kept while no call needs it.
    Its callers hold a lock.
    """

    __slots__ = (
        "_near_end_pico",
        "_until_ms",
        "_until_s",
        "free",
        "holds",
        "is_retired",
        "is_tight",
        "lease",
        "spent",
    )

    def __init__(self, lease: Lease, *, ttl_s: float, now_s: float, is_tight: bool) -> None:
        self.lease = lease
        self.free = EXACT.create_decimal(lease.amount_pico)
        self.spent = ZERO
        self.holds = 0
        self.is_tight = is_tight
        self.is_retired = False
        ends_ms = [int(resets_at(window).timestamp()) * 1000 for window in lease.windows]
        self._until_ms = min([lease.expires_ms - MARGIN_MS, *ends_ms])
        self._until_s = now_s + ttl_s - MARGIN_MS / 1000
        spent_parts, parts = NEAR_END
        self._near_end_pico = lease.limit_pico * (parts - spent_parts) // parts

    @property
    def spent_pico(self) -> int:
        """What was spent, in whole pico-USD upwards; never more than the lease."""
        return math.ceil(self.spent)

    def is_open(self, now_ms: int, now_s: float) -> bool:
        """Whether it may be spent: by the wall clock, which names its windows and shows a sleep,
        and by the steady clock, which a wall clock set back does not fool."""
        return now_ms < self._until_ms and now_s < self._until_s

    def hold(self, amount: Decimal) -> None:
        """Sets aside what is free, for one call."""
        self.free = EXACT.subtract(self.free, amount)
        self.holds += 1

    def settle(self, held: Decimal, price: Decimal) -> bool:
        """Spends a price out of what was held for it and what is free; False if that is less."""
        left = EXACT.subtract(EXACT.add(self.free, held), price)
        if left < 0:
            return False
        self.free = left
        self.spent = EXACT.add(self.spent, price)
        self.holds -= 1
        return True

    def settle_capped(self, held: Decimal) -> int:
        """Spends all whole pico-USD of what was held and what is free; how many they were."""
        cap_pico = math.floor(EXACT.add(self.free, held))
        self.settle(held, EXACT.create_decimal(cap_pico))
        return cap_pico

    def near_end(self) -> NearEnd | None:
        """What to warn of, if anything: what is left beside all other leases."""
        left_pico = self.lease.free_pico + math.floor(self.free)
        if left_pico > self._near_end_pico:
            return None
        limit_pico = self.lease.limit_pico
        spent_share = 1 - left_pico / limit_pico if limit_pico else 1.0
        return NearEnd(spent_share, left_pico, self.lease.window)


def in_pico(price_usd: Decimal) -> Decimal:
    """The same amount in pico-USD, exactly; it may have a fraction."""
    return EXACT.scaleb(price_usd, PICO_DIGITS)
