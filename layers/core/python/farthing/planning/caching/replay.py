"""Which calls a cache would have answered: one in each instance, and perhaps one beside them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Hits(NamedTuple):
    """`local` were answered in the process, `remote` beside it; all other calls were computed.

    `entries` is the most that the remote one held at once.
    """

    calls: int
    local: int
    remote: int
    entries: int

    @property
    def missed(self) -> int:
        return self.calls - self.local - self.remote

    @property
    def asked(self) -> int:
        """How often the remote cache was asked."""
        return self.calls - self.local

    @property
    def share(self) -> float:
        """The share of calls that were answered without computing, 0 to 1."""
        return (self.local + self.remote) / self.calls if self.calls else 0.0


class Kept:
    """Answers by key, each for `ttl_us` since it was computed; of too many the one that was not
    asked for longest goes first. `entries_max` None is without bound."""

    def __init__(self, entries_max: int | None, ttl_us: int) -> None:
        self._entries_max, self._ttl_us = entries_max, ttl_us
        self._written: OrderedDict[int, int] = OrderedDict()
        self.most = 0

    def written_us(self, key: int, at_us: int) -> int | None:
        """When the answer was computed; None where it is not kept, or is too old."""
        at = self._written.get(key)
        if at is None:
            return None
        if at_us - at >= self._ttl_us:
            del self._written[key]
            return None
        if self._entries_max is not None:
            self._written.move_to_end(key)
        return at

    def keep(self, key: int, written_us: int, at_us: int) -> None:
        written = self._written
        written[key] = written_us
        written.move_to_end(key)
        if self._entries_max is None:
            # In the order of writing, so that what is too old is in front.
            while at_us - next(iter(written.values())) >= self._ttl_us:
                written.popitem(last=False)
        elif len(written) > self._entries_max:
            written.popitem(last=False)
        self.most = max(self.most, len(written))


def replay(
    arrivals_us: Sequence[int],
    keys: Sequence[int],
    instances: Sequence[int],
    ttl_us: int,
    local_max: int,
    remote: Kept | None = None,
) -> Hits:
    """The calls in their order, each asking its instance's cache, then the remote one if any.

    An answer's age is that since it was computed, wherever it is kept.
    """
    if ttl_us <= 0:
        return Hits(len(keys), 0, 0, 0)
    caches: dict[int, Kept] = {}
    local_hits = remote_hits = 0
    for at_us, key, instance in zip(arrivals_us, keys, instances, strict=True):
        local = caches.get(instance)
        if local is None:
            local = caches[instance] = Kept(local_max, ttl_us)
        if local.written_us(key, at_us) is not None:
            local_hits += 1
            continue
        written_us = None if remote is None else remote.written_us(key, at_us)
        if written_us is not None:
            remote_hits += 1
            local.keep(key, written_us, at_us)
            continue
        local.keep(key, at_us, at_us)
        if remote is not None:
            remote.keep(key, at_us, at_us)
    return Hits(len(keys), local_hits, remote_hits, 0 if remote is None else remote.most)
