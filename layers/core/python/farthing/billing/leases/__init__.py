"""Budgets on the request path: a price is held before the work and settled after it, locally.

A process holds a slice of a tenant's budgets and asks their store for the next one when that is
used up. Slices begin with four calls, since a first price is a guess, and grow fourfold, up to
1,024 calls and from then on never beyond 1/64 of what is free; near a budget's end they are single
calls, and go back when no call needs them. So nothing is overspent, no process starves another for
long, and a busy one asks about twice in a thousand calls. What a crash leaves unspent comes back
after its lease has expired.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from farthing.billing.copies import call_in_copies
from farthing.billing.leases.slice import PICO_DIGITS, NearEnd, Slice, in_pico
from farthing.billing.leases.teller import Teller
from farthing.billing.leases.wallet import Wallet
from farthing.billing.meter import HOUSE
from farthing.billing.tenants import Shortage, resets_at
from farthing.errors import BudgetSpent, BudgetUnknown, StoreUnavailable
from farthing.money import EXACT, ZERO, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.tenants import BudgetStore, Unlimited

__all__ = ["Hold", "Leases", "NearEnd"]

TTL_MS = 300_000
# What others hold may come back within a quarter of a second; then it is asked for once more.
PAUSES_S = (0.01, 0.02, 0.04, 0.08, 0.1)
# After a wait in vain a worker's time is worth more than the next wait.
IMPATIENT_S = 1.0


class Hold:
    """A call's price, set aside. `settle` or `release` ends it; what is called later does nothing.

    `lease_id` is "" where the tenant has no budget. It and `unleased` may change as the hold is
    settled, so an entry takes them afterwards. `warning` is set once 80 % of a budget are spent.
    """

    __slots__ = ("_held", "_slice", "_wallet", "lease_id", "unleased", "warning")

    def __init__(
        self,
        wallet: Wallet,
        slice_: Slice | None = None,
        held: Decimal = ZERO,
        *,
        unleased: bool = False,
    ) -> None:
        self._wallet = wallet
        self._slice = slice_
        self._held = held
        self.lease_id = slice_.lease.id if slice_ else ""
        self.unleased = unleased
        self.warning: NearEnd | None = slice_.near_end() if slice_ else None

    def settle(self, price: Decimal) -> int | None:
        """None when the price is covered in full, else the pico-USD that it is capped at.

        What a price is beyond the hold comes out of the same lease, or all of it out of a new one,
        which `lease_id` names then; only where neither has it the price is capped.
        """
        slice_, self._slice = self._slice, None
        if slice_ is None:
            return None
        wallet, amount = self._wallet, in_pico(price)
        if wallet.spend(slice_, self._held, amount):
            return None
        try:
            other = wallet.obtain(amount)
        except StoreUnavailable:
            self.unleased = wallet.fails_open
            other = None
        if isinstance(other, Shortage) or (other is None and not self.unleased):
            return wallet.spend_capped(slice_, self._held)
        wallet.spend(slice_, self._held, ZERO)
        self.lease_id = ""
        if isinstance(other, Slice):
            wallet.spend(other, amount, amount)
            self.lease_id = other.lease.id
        return None

    def release(self) -> None:
        """Gives all of it back: the call was refused or failed."""
        self.settle(ZERO)


class Leases:
    """Admits calls within their tenants' budgets, for one process and all its threads.

    While the store is down calls go on as long as a lease lasts. Then `closed` refuses them, and
    `open` admits them unleased: their entries say so, and settlement charges them later.
    `clock_ms` is the wall clock, which names the windows; `clock_s` the steady one.
    """

    def __init__(
        self,
        store: BudgetStore,
        *,
        outage: Literal["closed", "open"] = "closed",
        ttl_ms: int = TTL_MS,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._teller_settings = store, outage == "open", ttl_ms, clock_ms, clock_s
        self._begin()
        # The original's leases are the original's to spend and to return.
        call_in_copies(self._begin)

    def admit(self, tenant: str, price: Decimal) -> Hold:
        """Holds the price (US dollars) of a call that is about to be computed.

        Raises `BudgetSpent` where less than that is left, `BudgetUnknown` where nobody can tell.
        """
        amount = in_pico(price)
        wallet = self._wallet(tenant)
        try:
            found = wallet.take(amount) or self._obtain(wallet, amount)
        except StoreUnavailable:
            if not self._teller.fails_open:
                raise self._unknown() from None
            return Hold(wallet, unleased=True)
        if isinstance(found, Shortage):
            raise self._spent(found, amount)
        return Hold(wallet, found, amount) if isinstance(found, Slice) else Hold(wallet)

    def is_ready(self, tenant: str) -> bool:
        """Whether `admit` and `is_revoked` would most probably ask nobody, and so not wait."""
        return self._wallet(tenant).is_ready()

    def is_revoked(self, tenant: str, key_id: str) -> bool:
        """Whether the tenant's key is on the list of a minute ago or later.

        Raises `BudgetUnknown` where that cannot be told; failing open, an unknown list is empty.
        """
        try:
            return key_id in self._wallet(tenant).revoked()
        except StoreUnavailable:
            if not self._teller.fails_open:
                raise self._unknown() from None
            return False

    def is_known_revoked(self, tenant: str, key_id: str) -> bool:
        """The same as far as it is known already, however long ago; asks nobody."""
        return key_id in self._wallet(tenant).told_revoked

    def warm(self) -> None:
        """Begins to load and connect what asks the store, for callers who are not known yet."""

        def ask() -> None:
            with suppress(StoreUnavailable):
                self._teller.tenant(HOUSE)

        threading.Thread(target=ask, name="farthing-warm", daemon=True).start()

    def prefetch(self, tenant: str, price: Decimal) -> None:
        """Begins to take a first slice, of one call at this price (US dollars); `admit` waits for
        it, and says what went wrong.

        Not before a snapshot is taken: its copies would all spend the same lease.
        """
        wallet, amount = self._wallet(tenant), in_pico(price)

        def take() -> None:
            with suppress(StoreUnavailable):
                found = wallet.obtain(amount)
                if isinstance(found, Slice):
                    wallet.spend(found, amount, ZERO)

        threading.Thread(target=take, name="farthing-prefetch", daemon=True).start()

    def close(self) -> None:
        """Returns all that no call holds; what is held goes back as its call ends."""
        for wallet in list(self._wallets.values()):
            wallet.close()

    def _wallet(self, tenant: str) -> Wallet:
        found = self._wallets.get(tenant)
        return found or self._wallets.setdefault(tenant, Wallet(tenant, self._teller))

    def _begin(self) -> None:
        self._teller = Teller(*self._teller_settings)
        self._wallets: dict[str, Wallet] = {}

    def _obtain(self, wallet: Wallet, amount: Decimal) -> Slice | Unlimited | Shortage:
        """As the wallet does, but waits a little for what others may give back."""
        found = wallet.obtain(amount)
        if isinstance(found, Shortage) and self._teller.now_s() < wallet.impatient_until_s:
            return found
        for pause_s in PAUSES_S:
            if not isinstance(found, Shortage) or amount > found.free_pico + found.leased_pico:
                return found
            wallet.wait(pause_s)
            found = wallet.obtain(amount)
        if isinstance(found, Shortage):
            wallet.impatient_until_s = self._teller.now_s() + IMPATIENT_S
        return found

    def _unknown(self) -> BudgetUnknown:
        return BudgetUnknown(
            "This call needs to know the tenant's budget, and the store that counts it does not "
            "answer. Nothing is charged; try again later.",
            retry_after=str(self._teller.retry_after_s),
        )

    def _spent(self, shortage: Shortage, amount: Decimal) -> BudgetSpent:
        resets = resets_at(shortage.window)
        left_s = resets.timestamp() - self._teller.now_ms() / 1000
        if amount <= shortage.free_pico + shortage.leased_pico:
            # Enough is lent to other calls, and what they do not spend comes back.
            left_s = min(left_s, self._teller.ttl_ms / 1000)
        left_usd = plain(EXACT.scaleb(Decimal(max(0, shortage.free_pico)), -PICO_DIGITS))
        until = resets.strftime("%Y-%m-%dT%H:%M:%SZ")
        return BudgetSpent(
            f"This call would cost {plain(EXACT.scaleb(amount, -PICO_DIGITS))} USD, and {left_usd} "
            f"USD are left of the budget for {shortage.window}, which resets at {until}. Raise the "
            "budget, send less, or call again then.",
            {"left_usd": left_usd, "resets_at": until},
            retry_after=str(max(1, math.ceil(left_s))),
            x_farthing_budget_left_usd=left_usd,
            x_farthing_budget_resets=until,
        )
