"""Verification: that a ledger's history is the one that was sealed, whole and unchanged.

What is broken is said of the first place where it shows. What is merely late or not sealed yet
is said too, and breaks nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import msgspec

from farthing.errors import FarthingError, PriceMissing
from farthing.ledger.chains import (
    HOUR_MS,
    break_between,
    hour_end_ms,
    hour_name,
    name_of,
    place_of,
)
from farthing.ledger.covers import Covers, Numbers
from farthing.ledger.merkle import Tree, leaf_hash
from farthing.ledger.sealing import LATE_MS, MARK_BYTES, closed_until_ms, read_marks
from farthing.ledger.signing import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.billing.ledger import Entry, Ledger, Root
    from farthing.ledger.signing import PublicKeys

SAID_MAX = 20
# To the end of the year 9999, the last that dates here can name.
ALL_TIME_MS = (0, 253_402_300_800_000)
EVERY_ENTRIES = 1000


class Pricer(Protocol):
    """Prices entries, or raises what keeps it from doing so."""

    def value(self, entry: Entry, /) -> object: ...


class Verdict(msgspec.Struct, kw_only=True):
    """`broken` is empty where the history is sound. Lists hold `SAID_MAX` sentences at most."""

    roots: int = 0
    entries: int = 0
    sealed: int = 0
    heads: dict[str, str] = {}
    broken: list[str] = []
    warnings: list[str] = []

    @property
    def sound(self) -> bool:
        return not self.broken

    def break_at(self, text: str) -> None:
        if len(self.broken) < SAID_MAX:
            self.broken.append(text)

    def warn(self, text: str) -> None:
        if len(self.warnings) < SAID_MAX:
            self.warnings.append(text)


def verify(
    ledger: Ledger,
    keys: PublicKeys,
    now_ms: int,
    *,
    pricer: Pricer | None = None,
    known: Sequence[Root] = (),
    heads: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _entries: None,
) -> Verdict:
    """What is to be said of a whole ledger, in one pass over its entries.

    `known` are roots that someone holds a receipt of, `heads` digests of roots that someone noted:
    a history that was written anew and signed with the same key contradicts those. Memory grows
    with roots and writers, not with entries. May raise `StoreUnavailable`.
    """
    examination = Examination(ledger, now_ms, pricer)
    examination.chain(keys, known, heads)
    for entry in ledger.entries(*ALL_TIME_MS):
        examination.take(entry)
        if examination.verdict.entries % EVERY_ENTRIES == 0:
            progress(EVERY_ENTRIES)
    examination.compare()
    return examination.verdict


class Examination:
    """The state of one verification."""

    def __init__(self, ledger: Ledger, now_ms: int, pricer: Pricer | None) -> None:
        self.verdict = Verdict()
        self._ledger = ledger
        self._now_ms = now_ms
        self._pricer = pricer
        self._covers = Covers()
        self._roots: dict[tuple[str, int], Root] = {}
        self._trees: dict[tuple[str, int], Tree] = defaultdict(Tree)
        self._numbers: dict[str, Numbers] = defaultdict(Numbers)
        self._sealed_until_ms = 0
        self._terms: set[object] = set()
        self._open: dict[str, int] = defaultdict(int)
        self._strays: list[Entry] = []

    def chain(self, keys: PublicKeys, known: Sequence[Root], heads: Sequence[str]) -> None:
        """Reads the roots: signatures, order, and whether what others hold is among them."""
        before: dict[str, Root] = {}
        digests: set[str] = set()
        for root in self._ledger.roots():
            problem = break_between(before.get(root.tenant), root, keys)
            if problem:
                self.verdict.break_at(f"{place_of(root)}: {problem}.")
            self.verdict.roots += 1
            before[root.tenant] = root
            digests.add(digest(root))
            # What nobody known has signed says nothing of entries.
            if keys.verify(root):
                self._roots[root.tenant, root.sequence] = root
                self._covers.add(root)
                self._sealed_until_ms = max(self._sealed_until_ms, hour_end_ms(root.hour))
        self.verdict.heads = {tenant: digest(root) for tenant, root in before.items()}
        for held in known:
            if self._roots.get((held.tenant, held.sequence)) != held:
                self.verdict.break_at(
                    f"{place_of(held)}: the receipt has another root than the ledger; the history "
                    "was written anew since the receipt was given."
                )
        for head in heads:
            if head.lower() not in digests:
                self.verdict.break_at(
                    "No root of the ledger has the head that was noted; the history was written "
                    "anew, or cut off, since then."
                )

    def take(self, entry: Entry) -> None:
        """Puts an entry, which comes in the order of the leaves, where it belongs."""
        self.verdict.entries += 1
        self._numbers[entry.writer].add(entry.number, entry.at_ms)
        sequence = self._covers.sequence(entry.tenant, entry.writer, entry.number)
        if sequence is not None:
            self.verdict.sealed += 1
            self._trees[entry.tenant, sequence].add(leaf_hash(msgspec.json.encode(entry)))
        else:
            self._uncovered(entry)
        self._price(entry)

    def _uncovered(self, entry: Entry) -> None:
        if len(self._strays) < SAID_MAX and self._covers.others(entry):
            self._strays.append(entry)
        hour_ms = entry.at_ms // HOUR_MS * HOUR_MS
        if hour_ms + HOUR_MS + LATE_MS <= self._sealed_until_ms:
            self.verdict.break_at(
                f"{name_of(entry)}: it was added to an hour that had been sealed for more than "
                f"{LATE_MS // HOUR_MS} hours."
            )
        elif hour_ms + HOUR_MS < closed_until_ms(self._now_ms):
            self._open[hour_name(hour_ms)] += 1

    def _price(self, entry: Entry) -> None:
        terms = entry.plan, entry.tariff, entry.kind
        if self._pricer is None or terms in self._terms:
            return
        self._terms.add(terms)
        try:
            self._pricer.value(entry)
        except PriceMissing as error:
            self.verdict.break_at(f"{name_of(entry)}: it cannot be priced. {error}")
        except FarthingError as error:
            self.verdict.warn(f"{name_of(entry)}: it cannot be priced. {error}")

    def compare(self) -> None:
        """What the roots say of the entries, once all have been read."""
        for key, root in self._roots.items():
            tree = self._trees[key]
            if tree.size != root.count or tree.root().hex() != root.root:
                self.verdict.break_at(self._difference(root, tree))
        for writer, numbers in self._numbers.items():
            self._gaps(writer, numbers)
        for hour, count in sorted(self._open.items()):
            self.verdict.warn(
                f"{hour}: {count} entries are not sealed though their hour is long closed; "
                "run `farthing bill seal`."
            )

    def _difference(self, root: Root, tree: Tree) -> str:
        for writer, first, last in root.covers:
            missing = self._numbers[writer].first_missing(first, last)
            if missing is not None:
                return f"Entry {writer}/{missing} of {place_of(root)}: it is missing."
        for stray in self._strays:
            if (root.tenant, root.sequence) in self._covers.others(stray):
                return f"{name_of(stray)}: it was sealed in {place_of(root)}, as that tenant's."
        found = self._first_changed(root)
        if found is not None:
            return f"{name_of(found)}: it is not what was sealed in {place_of(root)}."
        return (
            f"{place_of(root)}: of the {root.count} entries that it holds the ledger has "
            f"{tree.size}, and they, or the root, were changed."
        )

    def _first_changed(self, root: Root) -> Entry | None:
        """The first entry whose hash does not begin as the marks say, if the ledger kept any."""
        marks = read_marks(self._ledger, root)
        covers = Covers()
        covers.add(root)
        place = 0
        until_ms = hour_end_ms(root.hour)
        for entry in self._ledger.entries(0, until_ms, tenant=root.tenant) if marks else ():
            if covers.sequence(entry.tenant, entry.writer, entry.number) is None:
                continue
            begins = leaf_hash(msgspec.json.encode(entry))[:MARK_BYTES]
            if marks[place : place + MARK_BYTES] != begins:
                return entry
            place += MARK_BYTES
        return None

    def _gaps(self, writer: str, numbers: Numbers) -> None:
        for first, last, at_ms in numbers.gaps():
            what = (
                f"Entry {writer}/{first}" if first == last else f"Entries {writer}/{first}-{last}"
            )
            if self._now_ms - at_ms > LATE_MS:
                self.verdict.break_at(f"{what}: missing; later ones of this writer are here.")
            else:
                self.verdict.warn(f"{what}: not arrived yet; later ones of this writer are here.")
