"""Who is let into the queue: so many that each is still begun in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farthing.deadlines import RESERVE_NS
from farthing.errors import Overloaded, TooManyWaiting
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from farthing.inference.batcher.lanes import Lane

NS_PER_S = 1_000_000_000


class Door:
    """Refuses a call that would wait longer than `queue_max_ms`, or than its deadline allows.

    How long it would wait is told by the time that the threads need for what is before it. That
    is not all that waits: of other tenants, and of the caller's own other calls, no more comes
    before it than it asks for itself, so that only who fills the queue is kept out.
    """

    def __init__(self, threads: int, queue_max_ms: int) -> None:
        self._threads = threads
        self._queue_max_ns = queue_max_ms * NS_PER_MS

    def check(
        self, lane: Lane, tenant: str, deadline_ns: int, cost_ns: int, ahead_ns: int = 0
    ) -> None:
        """For a call that keeps a thread busy for `cost_ns`, with `ahead_ns` before the lane's.

        Raises `TooManyWaiting` where the tenant has more of the queue than its fair part, and
        `Overloaded` otherwise.
        """
        waiting_ns = lane.waiting_ns
        if waiting_ns + ahead_ns == 0:
            return
        flow = lane.flows.get(tenant)
        own_ns = own_ahead_ns = 0
        others = len(lane.flows)
        if flow is not None:
            others -= 1
            own_ns = flow.waiting_ns
            own_ahead_ns = min(own_ns, flow.calls * cost_ns)
        fair_ns = others * (own_ahead_ns + cost_ns) + own_ahead_ns
        wait_ns = (ahead_ns + min(waiting_ns, fair_ns)) // self._threads
        left_ns = deadline_ns - time.perf_counter_ns() - RESERVE_NS
        if wait_ns <= min(self._queue_max_ns, left_ns):
            return
        seconds = str(max(1, -(-(ahead_ns + waiting_ns) // (self._threads * NS_PER_S))))
        if wait_ns > self._queue_max_ns and others and own_ns * (others + 1) > waiting_ns:
            raise TooManyWaiting(
                "This caller has more calls waiting than its part of the queue, and others wait "
                f"too. Send fewer at once, and try again in {seconds} s.",
                retry_after=seconds,
            )
        raise Overloaded(
            f"This call would wait about {wait_ns // NS_PER_MS} ms before it is begun, and may "
            f"{max(0, min(self._queue_max_ns, left_ns)) // NS_PER_MS}. Try again in {seconds} s.",
            retry_after=seconds,
        )
