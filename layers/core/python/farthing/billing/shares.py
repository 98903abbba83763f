"""Shared time: who pays for each instant of an instance that serves several at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from farthing.money import split

if TYPE_CHECKING:
    from collections.abc import Callable


class Share:
    """One item's part of the instance's time, in whole nanoseconds.

    An item is present from `SharedTime.enter` until `leave`. It computes, with its tokens as
    weight, between `compute` and `wait`.
    """

    __slots__ = ("_shared", "busy_ns", "tokens")

    def __init__(self, shared: SharedTime) -> None:
        self._shared = shared
        self.busy_ns = 0
        self.tokens = 0

    def compute(self, tokens: int) -> None:
        """From now on the item is computed, weighing `tokens` (at least 1)."""
        self._shared.reweigh(self, max(1, tokens))

    def wait(self) -> None:
        """From now on the item waits and weighs nothing while others are computed."""
        self._shared.reweigh(self, 0)

    def leave(self) -> int:
        """The item's nanoseconds in all; it takes no part in what follows."""
        return self._shared.leave(self)


class SharedTime:
    """The instance's clock, divided by one rule.

    At each instant the time goes to the items being computed, in proportion to their tokens.
    While none is computed it goes to those present, in equal parts; while none is present it
    is idle. So the parts and the idle time add up to the time that passed, to the nanosecond.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._present: list[Share] = []
        self._accounted_ns = clock_ns()
        self._idle_ns = 0

    def enter(self) -> Share:
        """A new item, present and waiting."""
        share = Share(self)
        with self._lock:
            self._account()
            self._present.append(share)
        return share

    def reweigh(self, share: Share, tokens: int) -> None:
        with self._lock:
            self._account()
            share.tokens = tokens

    def leave(self, share: Share) -> int:
        with self._lock:
            self._account()
            if share in self._present:
                self._present.remove(share)
            return share.busy_ns

    def take_idle_ns(self) -> int:
        """Idle nanoseconds since the last call of this; they are the house's."""
        with self._lock:
            self._account()
            idle_ns, self._idle_ns = self._idle_ns, 0
            return idle_ns

    def _account(self) -> None:
        now_ns = self._clock_ns()
        elapsed_ns = now_ns - self._accounted_ns
        self._accounted_ns = now_ns
        if not self._present:
            self._idle_ns += elapsed_ns
        elif len(self._present) == 1:
            self._present[0].busy_ns += elapsed_ns
        else:
            weights = [share.tokens for share in self._present]
            if not any(weights):
                weights = [1] * len(weights)
            for share, part_ns in zip(self._present, split(elapsed_ns, weights), strict=True):
                share.busy_ns += part_ns
