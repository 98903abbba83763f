"""Sealing: from entries to signed, chained Merkle roots, a tenant and an hour at a time.

A tree's leaves are the canonical bytes of a tenant's entries, by time, writer and number. What
arrives after its hour was sealed joins the tenant's next tree, if it comes within `LATE_MS`;
older entries are taken for an addition to the past until an operator admits them.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.ledger import Entry, Root
from farthing.ledger.chains import HOUR_MS, Chains, hour_name
from farthing.ledger.covers import ranges_of
from farthing.ledger.merkle import Tree, leaf_hash
from farthing.ledger.signing import NO_ROOT, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.ledger import Ledger
    from farthing.ledger.signing import Signer

# An hour is closed this long after its end: until then its entries may still be on their way.
GRACE_MS = 15 * 60_000
LATE_MS = 72 * HOUR_MS
RACES_MAX = 100
SEALED_MARK = "sealed"
# Enough of each leaf's hash to find which one of an hour's entries was changed.
MARK_BYTES = 4
LEAVES_PER_MARK = 50_000


class Sealed(msgspec.Struct, frozen=True):
    """A root that the ledger keeps, and those of its entries that no lease paid for."""

    root: Root
    unleased: tuple[Entry, ...] = ()


class Harvest:
    """The entries of one hour that no root holds yet, by tenant."""

    def __init__(self) -> None:
        self.trees: dict[str, Tree] = defaultdict(Tree)
        self.numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.owners: dict[str, dict[int, str]] = defaultdict(dict)
        self.marks: dict[str, bytearray] = defaultdict(bytearray)
        self.unleased: dict[str, list[Entry]] = defaultdict(list)

    def take(self, entry: Entry) -> None:
        leaf = leaf_hash(msgspec.json.encode(entry))
        self.trees[entry.tenant].add(leaf)
        self.numbers[entry.tenant][entry.writer].append(entry.number)
        self.owners[entry.writer][entry.number] = entry.tenant
        self.marks[entry.tenant] += leaf[:MARK_BYTES]
        if entry.unleased:
            self.unleased[entry.tenant].append(entry)

    def drop(self, tenant: str) -> None:
        """Forgets a tenant whose entries a root now holds."""
        for kept in (self.trees, self.numbers, self.marks, self.unleased):
            kept.pop(tenant, None)
        if not self.trees:
            self.owners.clear()


def seal(
    ledger: Ledger, signer: Signer, now_ms: int, *, admit_since_ms: int | None = None
) -> Iterator[Sealed]:
    """Seals every closed hour, oldest first, and yields each root once the ledger keeps it.

    Stopping in between leaves whole roots and the rest for the next time. Several may seal at
    once: where another was first, this one reads again and goes on. `admit_since_ms` takes in
    older entries that came too late. May raise `StoreUnavailable`.
    """
    for _ in range(RACES_MAX):
        for sealed, marks in _planned(ledger, signer, now_ms, admit_since_ms):
            if not ledger.append_root(sealed.root):
                break
            _keep_marks(ledger, sealed.root, marks)
            yield sealed
        else:
            ledger.set_mark(SEALED_MARK, str(closed_until_ms(now_ms)))
            return


def _planned(
    ledger: Ledger, signer: Signer, now_ms: int, admit_since_ms: int | None
) -> Iterator[tuple[Sealed, bytes]]:
    """The next roots by what the ledger holds now; each must be kept before the next is asked."""
    # Hours without entries have no root; the mark spares asking for them again.
    passed_ms = int(ledger.mark(SEALED_MARK) or 0)
    chains = Chains(ledger.roots(), since_ms=passed_ms - LATE_MS if admit_since_ms is None else 0)
    closed_ms = closed_until_ms(now_ms)
    # The last hour that has roots may lack some, of a run that was cut short or came second.
    start_ms = max(chains.sealed_until_ms - HOUR_MS, passed_ms)
    start_ms = start_ms or _first_hour_ms(ledger, closed_ms)
    harvest = Harvest()
    late_since_ms = max(0, start_ms - LATE_MS) if admit_since_ms is None else admit_since_ms
    if start_ms < closed_ms:
        _gather(harvest, ledger, chains, late_since_ms, start_ms)
    for hour_ms in range(start_ms, closed_ms, HOUR_MS):
        _gather(harvest, ledger, chains, hour_ms, hour_ms + HOUR_MS)
        hour = hour_name(hour_ms)
        for tenant in sorted(harvest.trees):
            head = chains.heads.get(tenant)
            if head and head.hour >= hour:
                continue  # what came since then joins the tenant's next hour
            root = signer.sign(_unsigned(harvest, tenant, hour_ms, chains, now_ms))
            chains.heads[tenant] = root
            yield Sealed(root, tuple(harvest.unleased[tenant])), bytes(harvest.marks[tenant])
            harvest.drop(tenant)


def _gather(harvest: Harvest, ledger: Ledger, chains: Chains, since_ms: int, until_ms: int) -> None:
    for entry in ledger.entries(since_ms, until_ms):
        if not chains.holds(entry):
            harvest.take(entry)


def _unsigned(harvest: Harvest, tenant: str, hour_ms: int, chains: Chains, now_ms: int) -> Root:
    before = chains.heads.get(tenant)
    tree = harvest.trees[tenant]
    return Root(
        tenant=tenant,
        hour=hour_name(hour_ms),
        sequence=before.sequence + 1 if before else 1,
        count=tree.size,
        covers=ranges_of(harvest.numbers[tenant], harvest.owners, tenant),
        root=tree.root().hex(),
        previous=digest(before) if before else NO_ROOT,
        key_id="",
        signed_at_ms=now_ms,
        signature="",
    )


def _keep_marks(ledger: Ledger, root: Root, marks: bytes) -> None:
    """Keeps the beginnings of the leaves' hashes, unsigned: only to name what was changed."""
    step = LEAVES_PER_MARK * MARK_BYTES
    for place, start in enumerate(range(0, len(marks), step)):
        part = base64.b64encode(marks[start : start + step]).decode()
        ledger.set_mark(leaves_mark(root, place), part)


def leaves_mark(root: Root, place: int) -> str:
    """The name under which the ledger keeps a root's marks, `LEAVES_PER_MARK` at each place."""
    return f"leaves/{root.tenant}/{root.sequence}/{place}"


def read_marks(ledger: Ledger, root: Root) -> bytes:
    """The first `MARK_BYTES` of each leaf's hash, in the order of the tree; empty if not kept."""
    places = -(-root.count // LEAVES_PER_MARK)
    return b"".join(
        base64.b64decode(ledger.mark(leaves_mark(root, place))) for place in range(places)
    )


def closed_until_ms(now_ms: int) -> int:
    """The end of the last hour that is closed."""
    return max(0, now_ms - GRACE_MS) // HOUR_MS * HOUR_MS


def _first_hour_ms(ledger: Ledger, closed_ms: int) -> int:
    first = next(iter(ledger.entries(0, closed_ms)), None)
    return closed_ms if first is None else first.at_ms // HOUR_MS * HOUR_MS
