"""Chains of roots: one for each tenant, each root bearing the digest of the one before."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from farthing.errors import LedgerError
from farthing.ledger.covers import Covers
from farthing.ledger.signing import NO_ROOT, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.billing.ledger import Entry, Root
    from farthing.ledger.signing import PublicKeys

HOUR_MS = 3_600_000
# The last hour of the year 9999.
HOUR_MAX_MS = 253_402_297_200_000


class Chains:
    """What a ledger's roots cover, of hours that end after `since_ms`, and where chains end."""

    def __init__(self, roots: Iterable[Root], since_ms: int = 0) -> None:
        self.covers = Covers()
        self.heads: dict[str, Root] = {}
        self.sealed_until_ms = 0
        for root in roots:
            end_ms = hour_end_ms(root.hour)
            if end_ms > since_ms:
                self.covers.add(root)
            self.heads[root.tenant] = root
            self.sealed_until_ms = max(self.sealed_until_ms, end_ms)

    def holds(self, entry: Entry) -> bool:
        found = self.covers.sequence(entry.tenant, entry.writer, entry.number)
        return found is not None


def break_between(before: Root | None, root: Root, keys: PublicKeys) -> str:
    """What keeps a root from following the one before it, None for the first; "" if nothing."""
    expected = before.sequence + 1 if before else 1
    if root.sequence != expected:
        return f"root {expected} is missing before it"
    if root.previous != (digest(before) if before else NO_ROOT):
        return "it does not follow from the root before it"
    if before and root.hour <= before.hour:
        return "its hour is not after that of the root before it"
    if root.key_id not in keys:
        return "it is signed with a key that is not known here; --public-keys names those that are"
    if not keys.verify(root):
        return "its signature is not that of its key"
    return ""


def place_of(root: Root) -> str:
    """How a root is named to a person."""
    return f"{root.tenant}, {root.hour}, root {root.sequence}"


def name_of(entry: Entry) -> str:
    """How an entry is named to a person."""
    return (
        f"Entry {entry.writer}/{entry.number} of {entry.tenant}, "
        f"{hour_name(entry.at_ms // HOUR_MS * HOUR_MS)}"
    )


def hour_name(hour_ms: int) -> str:
    """The UTC hour that begins at a moment, as roots name it: `2026-11-22T05`.

    A moment that no calendar has, in a forged entry say, is named by the nearest hour.
    """
    bounded_ms = min(max(0, hour_ms), HOUR_MAX_MS)
    return f"{dt.datetime.fromtimestamp(bounded_ms / 1000, tz=dt.UTC):%Y-%m-%dT%H}"


def hour_end_ms(hour: str) -> int:
    """The moment at which an hour of that name ends. Raises `LedgerError` where it names none."""
    try:
        begins = dt.datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=dt.UTC)
    except ValueError:
        raise LedgerError(
            "A root of the ledger names no hour. Run `farthing bill verify` to see which."
        ) from None
    return int(begins.timestamp()) * 1000 + HOUR_MS
