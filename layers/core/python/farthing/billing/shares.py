"""Shared time: who pays for each instant of an instance that serves several at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Time is counted in parts of a nanosecond, so fine that what a division leaves over is less than
# 1e-12 ns an event, and still is handed on.
PARTS_BITS = 64
PARTS_PER_NS = 1 << PARTS_BITS


class Share:
    """One item's part of the instance's time, in whole nanoseconds.

    An item is present from `SharedTime.enter` until `leave`. It computes, with its tokens as
    weight, between `compute` and `wait`, or between each `begin` and its `end`.
    """

    __slots__ = ("_shared", "busy_ns", "is_present", "parts", "since", "tokens")

    def __init__(self, shared: SharedTime) -> None:
        self._shared = shared
        self.busy_ns = 0
        self.tokens = 0
        self.is_present = True
        # Its time so far, and where the clock of its kind (computing, waiting) stood then.
        self.parts = self.since = 0

    def compute(self, tokens: int) -> None:
        """From now on the item is computed, weighing `tokens` (at least 1)."""
        self._shared.reweigh(self, max(1, tokens))

    def wait(self) -> None:
        """From now on the item waits and weighs nothing while others are computed."""
        self._shared.reweigh(self, 0)

    def begin(self, tokens: int) -> None:
        """From now on so many more of the item's tokens are computed."""
        self._shared.add(self, tokens)

    def end(self, tokens: int) -> None:
        """So many of the item's tokens, which began, are not computed any more."""
        self._shared.add(self, -tokens)

    def leave(self) -> int:
        """The item's nanoseconds in all; it takes no part in what follows."""
        return self._shared.leave(self)


class SharedTime:
    """The instance's clock, divided by one rule.

    At each instant the time goes to the items being computed, in proportion to their tokens.
    While none is computed it goes to those present, in equal parts; while none is present it
    is idle. So the parts and the idle time add up to the time that passed, to the nanosecond.

    Every event takes the same time however many are present: two clocks tell what one token was
    given while any was computed, and one item while none was. An item's part is how far its clock
    went, times its weight. What it is given too little or too much by being rounded, half a
    nanosecond at most, is made up with the next one to leave.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._accounted_ns = clock_ns()
        self._idle_ns = 0
        self._present = 0
        self._tokens = 0
        self._of_token = 0
        self._of_item = 0
        self._undivided = 0
        self._fraction = 0

    def enter(self) -> Share:
        """A new item, present and waiting."""
        share = Share(self)
        with self._lock:
            self._account()
            self._present += 1
            share.since = self._of_item
        return share

    def reweigh(self, share: Share, tokens: int) -> None:
        with self._lock:
            self._weigh(share, tokens)

    def add(self, share: Share, tokens: int) -> None:
        with self._lock:
            self._weigh(share, share.tokens + tokens)

    def leave(self, share: Share) -> int:
        with self._lock:
            if share.is_present:
                self._weigh(share, 0)
                share.is_present = False
                self._present -= 1
                parts = share.parts + self._fraction
                if self._present == 0:
                    parts += self._undivided
                    self._undivided = 0
                # To the nearest: divisions leave a whole nanosecond a little short of itself.
                share.busy_ns = (parts + PARTS_PER_NS // 2) // PARTS_PER_NS
                self._fraction = parts - share.busy_ns * PARTS_PER_NS
            return share.busy_ns

    def take_idle_ns(self) -> int:
        """Idle nanoseconds since the last call of this; they are the house's."""
        with self._lock:
            self._account()
            idle_ns, self._idle_ns = self._idle_ns, 0
            return idle_ns

    def _weigh(self, share: Share, tokens: int) -> None:
        self._account()
        if not share.is_present:
            return
        clock = self._of_token if share.tokens else self._of_item
        share.parts += (clock - share.since) * (share.tokens or 1)
        self._tokens += tokens - share.tokens
        share.tokens = tokens
        share.since = self._of_token if tokens else self._of_item

    def _account(self) -> None:
        now_ns = self._clock_ns()
        elapsed_ns = now_ns - self._accounted_ns
        self._accounted_ns = now_ns
        if not self._present:
            self._idle_ns += elapsed_ns
            return
        parts = elapsed_ns * PARTS_PER_NS + self._undivided
        if self._tokens:
            each, self._undivided = divmod(parts, self._tokens)
            self._of_token += each
        else:
            each, self._undivided = divmod(parts, self._present)
            self._of_item += each
