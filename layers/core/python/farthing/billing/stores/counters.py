"""The arithmetic of budgets, one for every store: what a window's counter says, and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.billing.tenants import Lease, Shortage, Unlimited, windows_of
from farthing.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.billing.tenants import Tenant


class Counter(msgspec.Struct, frozen=True):
    """One window of one tenant: limit = free + leased + spent, always; free may be below 0."""

    limit_pico: int
    free_pico: int
    leased_pico: int = 0

    def with_limit(self, limit_pico: int) -> Counter:
        """The same leases and spending under another limit."""
        free_pico = self.free_pico + limit_pico - self.limit_pico
        return Counter(limit_pico, free_pico, self.leased_pico)

    def lent(self, amount_pico: int) -> Counter:
        return Counter(
            self.limit_pico, self.free_pico - amount_pico, self.leased_pico + amount_pico
        )

    def spent(self, amount_pico: int) -> Counter:
        return Counter(self.limit_pico, self.free_pico - amount_pico, self.leased_pico)

    def settled(self, amount_pico: int, spent_pico: int) -> Counter:
        return Counter(
            self.limit_pico,
            self.free_pico + amount_pico - spent_pico,
            self.leased_pico - amount_pico,
        )


def open_counters(tenant: Tenant, kept: Mapping[str, Counter], now_ms: int) -> dict[str, Counter]:
    """The counters of the windows open now, as kept or still untouched, under today's limits."""
    return {
        window: kept[window].with_limit(budget.limit_pico)
        if window in kept
        else Counter(budget.limit_pico, budget.limit_pico)
        for window, budget in windows_of(tenant.budgets, now_ms).items()
    }


def granted(
    tenant: Tenant,
    counters: Mapping[str, Counter],
    *,
    lease_id: str,
    want_pico: int,
    least_pico: int,
    expires_ms: int,
) -> Lease | Shortage | Unlimited:
    """What a tenant is given whose open windows count so; every window is to be lent that much.

    Raises `LedgerError` for amounts below 0, which would make money.
    """
    if not 0 <= least_pico <= want_pico:
        raise LedgerError(
            "A lease was asked for with amounts out of order. Ask for 0 ≤ least_pico ≤ want_pico."
        )
    if not counters:
        return Unlimited(tenant=tenant.name, revoked=tenant.revoked)
    window = min(counters, key=lambda name: (counters[name].free_pico, name))
    scarcest = counters[window]
    amount_pico = min(want_pico, scarcest.free_pico)
    if amount_pico < least_pico:
        return Shortage(
            tenant=tenant.name,
            window=window,
            free_pico=scarcest.free_pico,
            leased_pico=scarcest.leased_pico,
            limit_pico=scarcest.limit_pico,
        )
    return Lease(
        id=lease_id,
        tenant=tenant.name,
        windows=tuple(sorted(counters)),
        amount_pico=amount_pico,
        expires_ms=expires_ms,
        free_pico=scarcest.free_pico - amount_pico,
        limit_pico=scarcest.limit_pico,
        window=window,
        revoked=tenant.revoked,
    )


def check_spent(lease: Lease, spent_pico: int) -> None:
    """Raises `LedgerError` where settling for so much would make or take money."""
    if not 0 <= spent_pico <= lease.amount_pico:
        raise LedgerError(
            "A lease was settled for an amount that it does not hold. Settle for 0 up to its "
            "amount, and charge the rest."
        )


def check_charge(amount_pico: int) -> None:
    """Raises `LedgerError` for an amount that would give money back."""
    if amount_pico < 0:
        raise LedgerError("A charge was below 0, which would make money. Charge 0 or more.")
