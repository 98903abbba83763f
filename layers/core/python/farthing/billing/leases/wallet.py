"""What one process holds and knows of one tenant's budgets."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from farthing.billing.leases.slice import Slice
from farthing.billing.leases.teller import new_lease_id
from farthing.billing.tenants import Lease, Shortage, Unlimited
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.billing.leases.teller import Teller

CALLS_MAX = 1024
GROWTH = 4
SHARE = 64
# How old knowledge of revoked keys, or of there being no budget, may become.
REFRESH_S = 60.0
# For so long a refusal stands unless something was lent that may come back.
REFUSED_S = 1.0
# A slice with more than this part of its amount free will do for a usual call.
READY_PARTS = 8
# A lease that was asked for in an outage may come late, expired or too small; then another.
ASKS_MAX = 4


class Wallet:
    """One slice at a time is spent from; one thread at a time asks the store for the next."""

    def __init__(self, tenant: str, teller: Teller) -> None:
        self._tenant = tenant
        self._teller = teller
        # Until then nobody waits for what other calls may give back.
        self.impatient_until_s = -math.inf
        self._asking = threading.Lock()
        # Guards all below; notified when something went back to the store.
        self._changed = threading.Condition(threading.Lock())
        self._slice: Slice | None = None
        self._calls = GROWTH
        # What was free when last told; None before the first answer.
        self._free_pico: int | None = None
        self._pending_id = ""
        self._refusal: Shortage | None = None
        self._refused_s = -math.inf
        self._unlimited: Unlimited | None = None
        self._revoked: tuple[str, ...] = ()
        self._told_s = self._told_ms = -math.inf

    @property
    def fails_open(self) -> bool:
        return self._teller.fails_open

    @property
    def told_revoked(self) -> tuple[str, ...]:
        """Ids of the tenant's revoked keys, as the store last told them."""
        return self._revoked

    def take(self, amount: Decimal) -> Slice | Unlimited | None:
        """Sets the amount (pico-USD) aside without asking anybody; None where that cannot be."""
        with self._changed:
            return self._take(amount)

    def is_ready(self) -> bool:
        """Whether a usual call or two would be admitted without asking anybody."""
        if not self._is_known_for(REFRESH_S):
            return False
        with self._changed:
            if self._unlimited is not None:
                return True
            slice_ = self._slice
            if slice_ is None or not self._is_open(slice_):
                return False
            return slice_.free * READY_PARTS > slice_.lease.amount_pico

    def obtain(self, amount: Decimal) -> Slice | Unlimited | Shortage:
        """As `take`, else out of a new lease. Raises `StoreUnavailable`."""
        with self._asking:
            for _ in range(ASKS_MAX):
                with self._changed:
                    found = self._take(amount) or self._refused(amount)
                    finished = None if found else self._let_go()
                if found:
                    return found
                self._teller.give_back(finished)
                answer = self._ask(amount)
                if not isinstance(answer, Lease):
                    return answer
        raise StoreUnavailable(
            "The ledger's store gave leases that could not be spent. See whether the clocks of "
            "this machine and of the others agree."
        )

    def spend(self, slice_: Slice, held: Decimal, price: Decimal) -> bool:
        """Settles a price against what was held for it; False if the lease has too little."""
        with self._changed:
            if not slice_.settle(held, price):
                return False
            finished = self._finished(slice_)
        self._give_back(finished)
        return True

    def spend_capped(self, slice_: Slice, held: Decimal) -> int:
        """Spends whatever the lease still has; how many pico-USD that was."""
        with self._changed:
            cap_pico = slice_.settle_capped(held)
            finished = self._finished(slice_)
        self._give_back(finished)
        return cap_pico

    def wait(self, pause_s: float) -> None:
        """Until this process gave something back, but no longer than the pause."""
        with self._changed:
            self._changed.wait(pause_s)

    def revoked(self) -> tuple[str, ...]:
        """Ids of the tenant's revoked keys, as they were a minute ago or later.

        While the store is down, as old as a lease may be; then `StoreUnavailable`.
        """
        if not self._is_known_for(REFRESH_S):
            with self._asking:
                if not self._is_known_for(REFRESH_S):
                    self._refresh()
        return self._revoked

    def close(self) -> None:
        """Gives back what no call holds; the rest goes back as its calls end."""
        with self._asking, self._changed:
            finished = self._let_go()
        self._give_back(finished)

    def _take(self, amount: Decimal) -> Slice | Unlimited | None:
        if self._unlimited is not None:
            return self._unlimited if self._is_known_for(REFRESH_S) else None
        slice_ = self._slice
        if slice_ is None or slice_.free < amount or not self._is_open(slice_):
            return None
        slice_.hold(amount)
        return slice_

    def _refused(self, amount: Decimal) -> Shortage | None:
        """The last refusal, where asking again so soon could bring nothing else."""
        refusal = self._refusal
        if refusal is None or refusal.leased_pico or amount <= refusal.free_pico:
            return None
        return refusal if self._teller.now_s() < self._refused_s + REFUSED_S else None

    def _let_go(self) -> Slice | None:
        """Ends the slice; returns it where no call holds any of it.

        The next one is larger if this one was used up, and smaller if its time ran out.
        """
        slice_, self._slice = self._slice, None
        if slice_ is None:
            return None
        used_up = self._is_open(slice_)
        self._calls = min(CALLS_MAX, self._calls * GROWTH) if used_up else self._calls // GROWTH
        self._calls = max(1, self._calls)
        slice_.is_retired = True
        return None if slice_.holds else slice_

    def _finished(self, slice_: Slice) -> Slice | None:
        """The slice, if no call holds or may yet hold any of it."""
        if slice_.holds or not (slice_.is_retired or slice_.is_tight):
            return None
        slice_.is_retired = True
        if self._slice is slice_:
            self._slice = None
        return slice_

    def _give_back(self, finished: Slice | None) -> None:
        if finished is not None:
            self._teller.give_back(finished)
            with self._changed:
                self._changed.notify_all()

    def _ask(self, amount: Decimal) -> Slice | Lease | Shortage | Unlimited:
        """The amount out of a new lease; a lease that cannot be spent, or why there is none."""
        least_pico = max(1, math.ceil(amount))
        want_pico = least_pico * self._calls
        if self._free_pico is not None:
            want_pico = max(least_pico, min(want_pico, self._free_pico // SHARE))
        # Asked for again by the same name, a lease whose answer was lost is not given twice.
        self._pending_id = self._pending_id or new_lease_id()
        try:
            answer = self._teller.lease(self._tenant, self._pending_id, want_pico, least_pico)
        except StoreUnavailable:
            if self._unlimited is None or not self._is_known_for(self._teller.ttl_ms / 1000):
                raise
            return self._unlimited
        self._pending_id = ""
        with self._changed:
            if isinstance(answer, Shortage):
                self._refusal, self._refused_s = answer, self._teller.now_s()
                self._free_pico, self._unlimited = answer.free_pico, None
            else:
                self._learn(answer.revoked, is_unlimited=isinstance(answer, Unlimited))
            if isinstance(answer, Lease):
                self._free_pico = answer.free_pico
                self._slice = self._open(answer, least_pico, want_pico)
                # Taken before anybody else can, who did not wait for it.
                return self._take(amount) or answer
        return answer

    def _open(self, lease: Lease, least_pico: int, want_pico: int) -> Slice:
        return Slice(
            lease,
            ttl_s=self._teller.ttl_ms / 1000,
            now_s=self._teller.now_s(),
            is_tight=lease.amount_pico < want_pico or lease.free_pico < least_pico * SHARE,
        )

    def _refresh(self) -> None:
        try:
            tenant = self._teller.tenant(self._tenant)
        except StoreUnavailable:
            if not self._is_known_for(self._teller.ttl_ms / 1000):
                raise
            return
        with self._changed:
            revoked = tenant.revoked if tenant else ()
            self._learn(revoked, is_unlimited=not (tenant and tenant.budgets))

    def _learn(self, revoked: tuple[str, ...], *, is_unlimited: bool) -> None:
        self._revoked = revoked
        self._unlimited = Unlimited(tenant=self._tenant, revoked=revoked) if is_unlimited else None
        self._told_s, self._told_ms = self._teller.now_s(), self._teller.now_ms()

    def _is_known_for(self, age_s: float) -> bool:
        """By both clocks: the steady one may have stood still while the instance was frozen."""
        told_ms_ago = self._teller.now_ms() - self._told_ms
        return self._teller.now_s() - self._told_s < age_s and told_ms_ago < age_s * 1000

    def _is_open(self, slice_: Slice) -> bool:
        return slice_.is_open(self._teller.now_ms(), self._teller.now_s())
