"""A store that does not answer is not asked again at once: callers should not wait in vain."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, TypeVar

from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = TypeVar("Answer")

FIRST_PAUSE_S = 0.5
PAUSE_MAX_S = 8.0

log = logging.getLogger("farthing")


class Outage:
    """Asks a store, and after a failure lets it be for 0.5 s, doubling up to 8 s.

    One warning is logged when it falls silent and one line when it answers again, both saying
    `consequence`; nothing of its address.
    """

    def __init__(self, consequence: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._consequence = consequence
        self._clock_s = clock_s
        self._pause_s = 0.0
        self._until_s = -math.inf

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until it is asked again, at least 1."""
        return max(1, math.ceil(self._until_s - self._clock_s()))

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Its answer. Raises `StoreUnavailable`, without asking while it is let be."""
        if self._clock_s() < self._until_s:
            raise StoreUnavailable(
                "The ledger's store did not answer a moment ago and is not asked again yet. "
                f"Try again in {self.retry_after_s} s."
            )
        try:
            answer = question()
        except StoreUnavailable:
            if not self._pause_s:
                log.warning("the ledger's store does not answer: %s", self._consequence)
            self._pause_s = min(PAUSE_MAX_S, self._pause_s * 2 or FIRST_PAUSE_S)
            self._until_s = self._clock_s() + self._pause_s
            raise
        if self._pause_s:
            log.warning("the ledger's store answers again; before, %s", self._consequence)
            self._pause_s = 0.0
        return answer
