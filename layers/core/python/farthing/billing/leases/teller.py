"""The one way from leases to the budgets' store, for all tenants of a process."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from farthing.billing.outage import Outage
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.billing.leases.slice import Slice
    from farthing.billing.tenants import BudgetStore, Lease, Shortage, Tenant, Unlimited

# What cannot be returned while the store is down; beyond these, leases expire back.
UNRETURNED_MAX = 1000


class Teller:
    """Asks the store, remembers what could not be returned, and tells the time.

    Every question raises `StoreUnavailable` where the store does not answer.
    """

    def __init__(
        self,
        store: BudgetStore,
        fails_open: bool,
        ttl_ms: int,
        clock_ms: Callable[[], int],
        clock_s: Callable[[], float],
    ) -> None:
        self._store = store
        self.fails_open = fails_open
        self.ttl_ms = ttl_ms
        self.now_s = clock_s
        self._clock_ms = clock_ms
        self._latest_ms = clock_ms()
        consequence = "calls go on unleased" if fails_open else "calls without a lease are refused"
        self._outage = Outage(consequence, clock_s)
        self._unreturned: deque[tuple[str, int]] = deque(maxlen=UNRETURNED_MAX)

    @property
    def retry_after_s(self) -> int:
        return self._outage.retry_after_s

    def now_ms(self) -> int:
        """The wall clock, but never earlier than it was: a window that is over stays over."""
        self._latest_ms = max(self._latest_ms, self._clock_ms())
        return self._latest_ms

    def lease(
        self, tenant: str, lease_id: str, want_pico: int, least_pico: int
    ) -> Lease | Shortage | Unlimited:
        """The store's answer, after what could not be returned earlier was."""
        # Other tenants' threads do the same at the same time.
        with suppress(IndexError):
            for _ in range(len(self._unreturned)):
                self._settle(*self._unreturned.popleft())
        return self._outage.ask(
            lambda: self._store.lease(
                tenant,
                lease_id=lease_id,
                want_pico=want_pico,
                least_pico=least_pico,
                now_ms=self.now_ms(),
                ttl_ms=self.ttl_ms,
            )
        )

    def tenant(self, name: str) -> Tenant | None:
        return self._outage.ask(lambda: self._store.tenant(name))

    def give_back(self, slice_: Slice | None) -> None:
        """Returns what is unspent of a slice, now or before the next lease is asked for."""
        if slice_ is not None:
            self._settle(slice_.lease.id, slice_.spent_pico)

    def _settle(self, lease_id: str, spent_pico: int) -> None:
        try:
            self._outage.ask(lambda: self._store.settle_lease(lease_id, spent_pico))
        except StoreUnavailable:
            self._unreturned.append((lease_id, spent_pico))


def new_lease_id() -> str:
    """80 random bits, in hex."""
    return os.urandom(10).hex()
