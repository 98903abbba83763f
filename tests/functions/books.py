"""What servers wrote into their books, and when a page of these is turned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farthing.billing.recorders.segment import SUFFIX, Segment
from farthing.billing.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.billing.ledger import Entry

EVER_MS = 2**60
DAY_S = 24 * 60 * 60
# No test that counts by the day takes as long.
TEST_S_MAX = 120


def stay_within_a_day() -> None:
    """Waits for midnight where it is near: budgets and statements begin anew then, in UTC."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < TEST_S_MAX:
        time.sleep(left_s)


def entries_of(ledger: str, spool: Path) -> list[Entry]:
    """All entries of the ledger, once it has what the spool still held.

    A server that stops sends its entries for a few seconds, and leaves to the next process what a
    slow machine had no time for. Raises `AssertionError` where a live server holds the spool.
    """
    store = open_store(ledger)
    for file in sorted(spool.glob(f"*{SUFFIX}")):
        segment = Segment.adopt(file)
        if segment is not None:
            entries, damaged = segment.read()
            assert not damaged
            store.append(entries)
            segment.remove()
    assert not list(spool.glob(f"*{SUFFIX}"))
    entries = list(store.entries(0, EVER_MS))
    store.close()
    return entries
