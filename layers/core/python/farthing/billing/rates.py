"""How often a key may call."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from farthing.errors import RateExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

NS_PER_S = 1_000_000_000
MINUTE_NS = 60 * NS_PER_S
KEYS_MAX = 10_000


class RateLimits:
    """A bucket of calls for each key, as many as a minute's, that fills up steadily.

    Each instance counts for itself: with n of them a key gets up to n times its rate, and a new
    instance begins with full buckets. It protects an instance; budgets protect the purse. Of more
    than 10,000 keys the one that has not called for longest is forgotten, its bucket full again.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        # When each key's bucket would be full if no call came (the generic cell rate algorithm).
        self._full_ns: OrderedDict[str, int] = OrderedDict()

    def check(self, key_id: str, per_minute: int) -> None:
        """Counts one call of a key that may make so many a minute, at least 1.

        Raises `RateExceeded`, and counts nothing, where its bucket is empty.
        """
        each_ns = MINUTE_NS // per_minute
        now_ns = self._clock_ns()
        with self._lock:
            full_ns = max(now_ns, self._full_ns.get(key_id, now_ns)) + each_ns
            early_ns = full_ns - now_ns - each_ns * per_minute
            if early_ns <= 0:
                self._full_ns[key_id] = full_ns
                self._full_ns.move_to_end(key_id)
                if len(self._full_ns) > KEYS_MAX:
                    self._full_ns.popitem(last=False)
                return
        raise RateExceeded(
            f"This key may make {per_minute} calls a minute, and has made them. Wait as long as "
            "Retry-After says, or ask for a higher rate.",
            retry_after=str(-(-early_ns // NS_PER_S)),
        )
