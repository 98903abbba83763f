"""A ledger in this process's memory: for trials and tests, and what the other stores must equal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from farthing.billing.stores.counters import (
    Counter,
    check_charge,
    check_spent,
    granted,
    open_counters,
)
from farthing.billing.tenants import Lease, Shortage, Tenant, Unlimited

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farthing.billing.ledger import Entry, Record, Root


def open_store(url: str) -> MemoryStore:
    """An empty store; nothing else sees it, and it ends with the process."""
    return MemoryStore()


class MemoryStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int], Entry] = {}
        self._records: dict[str, Record] = {}
        self._roots: dict[tuple[str, int], Root] = {}
        self._marks: dict[str, str] = {}
        self._tenants: dict[str, Tenant] = {}
        self._counters: dict[str, dict[str, Counter]] = {}
        self._leases: dict[str, Lease] = {}

    def append(self, entries: Iterable[Entry], /) -> None:
        group = list(entries)
        with self._lock:
            for entry in group:
                self._entries.setdefault(entry.key, entry)

    def entries(
        self, since_ms: int, until_ms: int, /, *, tenant: str | None = None
    ) -> Iterator[Entry]:
        with self._lock:
            found = [
                entry
                for entry in self._entries.values()
                if since_ms <= entry.at_ms < until_ms and tenant in (None, entry.tenant)
            ]
        yield from sorted(found, key=lambda entry: (entry.at_ms, entry.writer, entry.number))

    def append_records(self, records: Iterable[Record], /) -> None:
        group = list(records)
        with self._lock:
            for record in group:
                self._records.setdefault(record.source, record)

    def records(self, since_ms: int, until_ms: int, /) -> Iterator[Record]:
        with self._lock:
            found = [one for one in self._records.values() if since_ms <= one.at_ms < until_ms]
        yield from sorted(found, key=lambda record: (record.at_ms, record.source))

    def append_root(self, root: Root, /) -> bool:
        with self._lock:
            free = (root.tenant, root.sequence) not in self._roots
            if free:
                self._roots[root.tenant, root.sequence] = root
        return free

    def roots(self, *, tenant: str | None = None) -> Iterator[Root]:
        with self._lock:
            found = sorted(self._roots.items())
        yield from (root for _, root in found if tenant in (None, root.tenant))

    def mark(self, name: str, /) -> str:
        with self._lock:
            return self._marks.get(name, "")

    def set_mark(self, name: str, value: str, /) -> None:
        with self._lock:
            self._marks[name] = value

    def put_tenant(self, tenant: Tenant, /) -> None:
        with self._lock:
            self._tenants[tenant.name] = tenant

    def tenant(self, name: str, /) -> Tenant | None:
        with self._lock:
            return self._tenants.get(name)

    def tenants(self) -> list[Tenant]:
        with self._lock:
            return [self._tenants[name] for name in sorted(self._tenants)]

    def lease(
        self,
        tenant: str,
        /,
        *,
        lease_id: str,
        want_pico: int,
        least_pico: int,
        now_ms: int,
        ttl_ms: int,
    ) -> Lease | Shortage | Unlimited:
        with self._lock:
            if lease_id in self._leases:
                return self._leases[lease_id]
            known = self._tenants.get(tenant)
            if known is None:
                return Unlimited(tenant=tenant)
            counters = self._open(known, now_ms)
            lease = granted(
                known,
                counters,
                lease_id=lease_id,
                want_pico=want_pico,
                least_pico=least_pico,
                expires_ms=now_ms + ttl_ms,
            )
            if isinstance(lease, Lease):
                self._leases[lease_id] = lease
                for window, counter in counters.items():
                    self._counters[tenant][window] = counter.lent(lease.amount_pico)
            return lease

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        with self._lock:
            lease = self._leases.get(lease_id)
            if lease is None:
                return False
            check_spent(lease, spent_pico)
            del self._leases[lease_id]
            counters = self._counters[lease.tenant]
            for window in lease.windows:
                counters[window] = counters[window].settled(lease.amount_pico, spent_pico)
            return True

    def expired(self, now_ms: int, /) -> Sequence[Lease]:
        with self._lock:
            found = [lease for lease in self._leases.values() if lease.expires_ms <= now_ms]
        return sorted(found, key=lambda lease: (lease.expires_ms, lease.id))

    def charge(self, tenant: str, amount_pico: int, now_ms: int, /) -> None:
        check_charge(amount_pico)
        with self._lock:
            known = self._tenants.get(tenant)
            if known is not None:
                for window, counter in self._open(known, now_ms).items():
                    self._counters[tenant][window] = counter.spent(amount_pico)

    def free(self, tenant: str, now_ms: int, /) -> dict[str, tuple[int, int, int]]:
        with self._lock:
            known = self._tenants.get(tenant)
            counters = self._open(known, now_ms) if known else {}
        return {
            window: (counter.free_pico, counter.leased_pico, counter.limit_pico)
            for window, counter in counters.items()
        }

    def close(self) -> None:
        """Nothing to give back; what was kept stays readable."""

    def _open(self, tenant: Tenant, now_ms: int) -> dict[str, Counter]:
        return open_counters(tenant, self._counters.setdefault(tenant.name, {}), now_ms)
