"""One call of the function: its name, and how long it may take."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.batch.interruption import Stop

# Kept at a call's end for what must not be cut short: a checkpoint, an entry, a message.
RESERVE_MS = 15_000
# Where a call is short, no more than this share of it.
RESERVE_SHARE = 8


class Call(NamedTuple):
    """`remaining_ms` is told by whoever ends the call; `whole_ms` is what there was at first.

    `stop` is set when the machine goes. `has_queue`: a message called, and another message may go
    on with what this one leaves.
    """

    request_id: str
    remaining_ms: Callable[[], int]
    reserve_ms: int
    whole_ms: int
    stop: Stop | None = None
    has_queue: bool = False

    @property
    def left_ms(self) -> int:
        """How long work may still go on: 0 and less when it must end."""
        return 0 if self.is_stopped else self.remaining_ms() - self.reserve_ms

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def is_over(self) -> bool:
        return self.left_ms <= 0


def call_within(request_id: str, remaining_ms: Callable[[], int]) -> Call:
    """A call that the platform ends."""
    whole_ms = remaining_ms()
    reserve_ms = min(RESERVE_MS, whole_ms // RESERVE_SHARE)
    return Call(request_id, remaining_ms, reserve_ms, whole_ms)


def call_of(timeout_ms: int, request_id: str = "", stop: Stop | None = None) -> Call:
    """A call that ends after so many milliseconds from now, or when it is told to."""
    ends_ns = time.monotonic_ns() + timeout_ms * NS_PER_MS
    call = call_within(
        request_id or uuid.uuid4().hex, lambda: (ends_ns - time.monotonic_ns()) // NS_PER_MS
    )
    return call._replace(stop=stop)
