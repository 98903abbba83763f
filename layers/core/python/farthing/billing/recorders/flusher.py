"""The thread that empties a spool into the ledger, off every answer's path."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from farthing.billing.outage import Outage
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from farthing.billing.ledger import Ledger
    from farthing.billing.recorders.segment import Segment

INTERVAL_S = 0.5
ADOPT_S = 60.0

log = logging.getLogger("farthing")


class Spool(Protocol):
    """What a flusher empties."""

    def adopt(self) -> None: ...

    def seal(self) -> list[Segment]: ...

    def remove(self, segment: Segment, *, is_damaged: bool) -> None: ...


class Flusher:
    """Sends a spool's segments every half second or when one is full, each as one group.

    A segment goes once the ledger has all of it; one that is sent twice changes nothing there.
    While the ledger does not answer, segments wait. Entries that were answered unleased are sent
    like all others: settlement, which knows prices, charges them to their budgets.
    """

    def __init__(self, spool: Spool, ledger: Ledger, interval_s: float = INTERVAL_S) -> None:
        self._spool = spool
        self._ledger = ledger
        self._interval_s = interval_s
        self._outage = Outage("entries wait in the spool")
        self._wake = threading.Event()
        self._is_stopping = False
        self._adopt_at_s = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins, unless it runs."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="farthing-flusher", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There is a full segment: sends it now."""
        self._wake.set()

    def stop(self, deadline_s: float) -> None:
        """Sends what there is and ends, also a second time; returns at the deadline at latest."""
        self._is_stopping = True
        self._wake.set()
        self.start()
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            with suppress(StoreUnavailable):
                self._outage.ask(self._empty)
        # At the end the ledger is asked even if it was silent a moment ago.
        with suppress(StoreUnavailable):
            self._empty()

    def _empty(self) -> None:
        """Sends all that is there. Raises `StoreUnavailable`, whatever it was that failed."""
        try:
            if time.monotonic() >= self._adopt_at_s:
                self._spool.adopt()
                self._adopt_at_s = time.monotonic() + ADOPT_S
            for segment in self._spool.seal():
                entries, damaged = segment.read()
                if damaged:
                    log.error("%d lines of a spool are damaged; they are set aside", damaged)
                if entries:
                    self._ledger.append(entries)
                self._spool.remove(segment, is_damaged=damaged > 0)
        except StoreUnavailable:
            raise
        except Exception as fault:
            # The thread must outlive whatever a driver or a disk comes up with.
            log.error("the spool could not be emptied: %s", type(fault).__name__)
            raise StoreUnavailable("The spool could not be emptied. See the log above.") from fault
