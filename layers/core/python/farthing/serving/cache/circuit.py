"""When to stop asking what does not answer, and when to ask again."""

from __future__ import annotations

import logging
import random
import threading

logger = logging.getLogger(__name__)

# One late answer is a hiccup; so many one after another are a pattern.
FAILURES_MAX = 5
PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 30.0


class Circuit:
    """Opens after so many failures one after another, and closes once a trial has succeeded.

    While it is open nobody waits: trials are made beside the calls, after a second at first and
    half a minute at last, each up to a half sooner, lest many instances ask at once. It begins
    open, with a trial due, because nothing is connected yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_s = 0.0
        self._is_told = False
        self.is_open = True

    def succeed(self) -> None:
        """A question was answered in time."""
        self._failures = 0

    def fail(self, reason: str) -> bool:
        """A question was not, for such a reason; gives whether that opens it."""
        with self._lock:
            self._failures += 1
            if self.is_open or self._failures < FAILURES_MAX:
                return False
            self.is_open, self._pause_s = True, PAUSE_S_MIN
        self._tell(reason)
        return True

    def pause_s(self) -> float:
        """How long to wait before the next trial."""
        return self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def tried(self, reason: str) -> None:
        """A trial was made; it failed for such a reason, or succeeded where that is ""."""
        if reason:
            self._pause_s = min(PAUSE_S_MAX, max(PAUSE_S_MIN, 2 * self._pause_s))
            self._tell(reason)
            return
        with self._lock:
            self._failures, self._pause_s, self.is_open = 0, 0.0, False
        if self._is_told:
            self._is_told = False
            logger.warning("The remote answer cache answers again, and is asked again.")

    def _tell(self, reason: str) -> None:
        if not self._is_told:
            self._is_told = True
            logger.warning(
                "The remote answer cache does not answer in time (%s), so calls go on without it. "
                "It is tried again every half minute at least; see that FARTHING_CACHE names it "
                "and that this network reaches it.",
                reason,
            )
