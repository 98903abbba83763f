"""How late a server's event loop is."""

from __future__ import annotations

import time

EVERY_S = 0.02
NS_PER_S = 1_000_000_000


class Lag:
    """How late the event loop last came to a timer, in `ns`; 0 while nobody watches.

    What waits in sockets is in nobody's queue: where thousands of callers send at once, one turn of
    the loop takes seconds, and all that it reads then is as old.
    """

    def __init__(self) -> None:
        self.ns = 0
        self._due_ns = self._until_ns = 0
        self._is_watching = False

    def watch(self, until_ns: int) -> None:
        """Measures every 20 ms until then, on the clock of `time.perf_counter_ns`."""
        self._until_ns = until_ns
        if not self._is_watching:
            self._is_watching = True
            self._await()

    def _await(self) -> None:
        # Who watches has one imported; a function that has no loop does not owe it.
        import asyncio

        self._due_ns = time.perf_counter_ns() + int(EVERY_S * NS_PER_S)
        asyncio.get_running_loop().call_later(EVERY_S, self._tell)

    def _tell(self) -> None:
        now_ns = time.perf_counter_ns()
        self.ns = max(0, now_ns - self._due_ns)
        if now_ns < self._until_ns:
            self._await()
        else:
            self._is_watching, self.ns = False, 0
