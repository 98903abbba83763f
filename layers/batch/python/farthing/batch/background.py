"""A thread that computes what waits, beside a server's calls and behind them."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

from farthing.errors import StartupError
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.serving.jobs.store import JobStore

    Round = Callable[[Callable[[], bool]], int]

# Other processes' jobs are found by looking, which a bucket charges for; this one's wake it.
LOOK_EVERY_S: Final = 5.0
LOOK_INTO_BUCKETS_EVERY_S: Final = 60.0
STOP_S: Final = 10.0
# How far the operating system puts it behind the threads that answer: of 0 to 19.
NICENESS: Final = 10

log = logging.getLogger("farthing")


class Background:
    """Runs its rounds one after another, whenever this process put something into the store and
    every few seconds, until it is stopped.

    A round is given a function that says whether to stop, and gives back how much it did.
    """

    def __init__(self, store: JobStore, rounds: Sequence[Round]) -> None:
        self._store = store
        self._rounds = rounds
        is_local = isinstance(store.storage, LocalStorage)
        self._look_every_s = LOOK_EVERY_S if is_local else LOOK_INTO_BUCKETS_EVERY_S
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="farthing-jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after what is being computed, or leaves that to the next process."""
        self._stopping.set()
        self._store.news.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        if sys.platform == "linux":
            # There a thread has a niceness of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._stopping.is_set():
            self._store.news.clear()
            for each in self._rounds:
                try:
                    each(self._stopping.is_set)
                except StartupError as error:
                    log.warning("what waits cannot be computed just now: %s", error)
                except Exception as fault:
                    # Where, not what: an exception's text may quote the input.
                    where = "".join(traceback.format_tb(fault.__traceback__))
                    log.error("what waits failed: %s at\n%s", type(fault).__name__, where)
            self._store.news.wait(self._look_every_s)
