"""What budgets owe to the ledger: leases that nobody returned, and calls answered without one."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Protocol

from farthing.billing.tenants import PICO_PER_USD, Lease, Unlimited
from farthing.ledger.chains import HOUR_MS, hour_end_ms
from farthing.ledger.covers import Covers
from farthing.ledger.sealing import LATE_MS
from farthing.money import ZERO, multiply, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farthing.billing.ledger import Entry, Root, Store
    from farthing.billing.meter import Charge
    from farthing.ledger.sealing import Sealed

# After a lease's end its last entries may still be on their way into the ledger.
GRACE_MS = 15 * 60_000
# No process holds a lease longer than this.
HELD_MAX_MS = 24 * 3_600_000
# Whoever sealed a root charges it; after this time it did not live to do so.
ABANDONED_MS = 30 * 60_000
UNLEASED = "unleased-"


class Valued(Protocol):
    @property
    def price(self) -> Charge: ...


class Valuer(Protocol):
    """Values entries: what an attempt cost and what its tenant pays."""

    def value(self, entry: Entry, /) -> Valued: ...


def settle_expired_leases(store: Store, valuer: Valuer, now_ms: int) -> int:
    """Closes leases that expired, with the price of what the ledger says was spent; how many.

    What was not spent is free again. May raise `StoreUnavailable`; may be repeated.
    """
    expired = [lease for lease in store.expired(now_ms - GRACE_MS) if not _is_ours(lease)]
    if not expired:
        return 0
    spent: dict[str, Decimal] = defaultdict(lambda: ZERO)
    ids = {lease.id for lease in expired}
    since_ms = min(lease.expires_ms for lease in expired) - HELD_MAX_MS
    tenants = {lease.tenant for lease in expired}
    for tenant in sorted(tenants):
        for entry in store.entries(max(0, since_ms), now_ms + GRACE_MS, tenant=tenant):
            if entry.lease in ids:
                price = valuer.value(entry).price.total
                spent[entry.lease] = total((spent[entry.lease], price))
    return sum(
        store.settle_lease(lease.id, min(lease.amount_pico, pico(spent[lease.id])))
        for lease in expired
    )


def charge_unleased(
    store: Store, valuer: Valuer, now_ms: int, *, sealed: Iterable[Sealed] = ()
) -> int:
    """Charges each budget, once, for sealed calls answered while its store was down; in pico-USD.

    A root's entries are final, so a root is what is charged. A mark for each tenant tells how far
    that has come. The amount is taken by a lease named after the root, which a store gives once,
    and is noted in the mark before it is spent: a crash in between neither repeats nor loses it.
    What the budget no longer has is charged beyond it, right after. `sealed` is what this process
    sealed; other roots are left to those who sealed them for `ABANDONED_MS`.
    """
    owed: dict[tuple[str, int], int] = {
        (one.root.tenant, one.root.sequence): _price(valuer, one.unleased) for one in sealed
    }
    due: list[Root] = []
    kept: set[str] = set()
    for root in store.roots():
        done, noted = _progress(store, root.tenant)
        if root.sequence < done or (root.sequence == done and not noted) or root.tenant in kept:
            continue
        is_mine = (root.tenant, root.sequence) in owed
        if is_mine or now_ms - root.signed_at_ms >= ABANDONED_MS:
            due.append(root)
        else:
            kept.add(root.tenant)
    owed |= _owed(store, valuer, [one for one in due if (one.tenant, one.sequence) not in owed])
    for root in due:
        if owed[root.tenant, root.sequence]:
            _charge(store, root, owed[root.tenant, root.sequence])
        store.set_mark(_mark_of(root.tenant), str(root.sequence))
    return sum(owed[root.tenant, root.sequence] for root in due)


def _charge(store: Store, root: Root, owed_pico: int) -> None:
    # A moment of the calls' own day and month, so that their windows are charged.
    at_ms = hour_end_ms(root.hour) - 1
    lease_id = f"{UNLEASED}{root.tenant}-{root.sequence}"
    sequence, taken_pico = _progress(store, root.tenant)
    if sequence != root.sequence or not taken_pico:
        given = store.lease(
            root.tenant,
            lease_id=lease_id,
            want_pico=owed_pico,
            least_pico=1,
            now_ms=at_ms,
            ttl_ms=HELD_MAX_MS,
        )
        if isinstance(given, Unlimited):
            return
        if not isinstance(given, Lease):
            store.charge(root.tenant, owed_pico, at_ms)
            return
        taken_pico = given.amount_pico
        store.set_mark(_mark_of(root.tenant), f"{root.sequence} {taken_pico}")
    if store.settle_lease(lease_id, taken_pico) and taken_pico < owed_pico:
        store.charge(root.tenant, owed_pico - taken_pico, at_ms)


def _owed(store: Store, valuer: Valuer, roots: Sequence[Root]) -> dict[tuple[str, int], int]:
    """What roots that somebody else sealed come to, by tenant and sequence."""
    if not roots:
        return {}
    ends_ms = [hour_end_ms(root.hour) for root in roots]
    covers = Covers()
    found: dict[tuple[str, int], list[Entry]] = {}
    for root in roots:
        covers.add(root)
        found[root.tenant, root.sequence] = []
    since_ms = max(0, min(ends_ms) - HOUR_MS - LATE_MS)
    for entry in store.entries(since_ms, max(ends_ms)):
        if entry.unleased:
            sequence = covers.sequence(entry.tenant, entry.writer, entry.number)
            if sequence is not None:
                found[entry.tenant, sequence].append(entry)
    return {key: _price(valuer, entries) for key, entries in found.items()}


def _price(valuer: Valuer, entries: Iterable[Entry]) -> int:
    return pico(total(valuer.value(entry).price.total for entry in entries))


def _progress(store: Store, tenant: str) -> tuple[int, int]:
    """The sequence that was charged last, and what was taken for it if that is not finished."""
    sequence, _, taken = store.mark(_mark_of(tenant)).partition(" ")
    return int(sequence or 0), int(taken or 0)


def pico(amount: Decimal) -> int:
    """An amount in millionths of a millionth of a dollar, rounded up."""
    return int(multiply(amount, Decimal(PICO_PER_USD)).to_integral(ROUND_CEILING))


def _is_ours(lease: Lease) -> bool:
    return lease.id.startswith(UNLEASED)


def _mark_of(tenant: str) -> str:
    return f"unleased/{tenant}"
