"""What keeps entries, and what is counted of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Store(Protocol):
    """Values by key, for a while. Thread-safe.

    It may lose whatever it was given, and may raise anything where it lies on another machine.
    """

    def get_many(self, keys: Sequence[bytes], /) -> Sequence[bytes | None]:
        """The value of each key, in order; None where there is none, or no longer."""

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int, /) -> None:
        """Keeps values for so many seconds, at least 1."""

    def close(self) -> None:
        """Gives back connections."""


class Tally(msgspec.Struct):
    """How often what happened: `hits`, `misses`, `expired` and `refused` are texts.

    Refused were entries that are not whole, another's or from the future. `unanswered` are
    questions and writes that the remote store failed or answered too late, `skipped` those that it
    was spared while its circuit was open; `dropped` are entries that it took too long to write.
    """

    hits: int = 0
    misses: int = 0
    expired: int = 0
    refused: int = 0
    remote_hits: int = 0
    unanswered: int = 0
    skipped: int = 0
    dropped: int = 0


class Stats:
    """A tally that threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tally = Tally()

    def add(self, **counts: int) -> None:
        """Adds to these counts."""
        with self._lock:
            for name, count in counts.items():
                setattr(self._tally, name, getattr(self._tally, name) + count)

    def read(self) -> Tally:
        """The counts until now."""
        with self._lock:
            return msgspec.structs.replace(self._tally)
