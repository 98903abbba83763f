"""Which ids were met before, of millions, in little memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class SeenIds:
    """16 bytes an id: a 64-bit digest, kept in order, and the row that it was in.

    Two different ids are taken for one with a chance of 3 in 100 million among a million.
    """

    def __init__(self) -> None:
        self._digests = np.empty(0, dtype=np.uint64)
        self._rows = np.empty(0, dtype=np.int64)

    def add(self, ids: Sequence[str], rows: Sequence[int]) -> tuple[int, int] | None:
        """The first row whose id was met before, and the row of that; None where there is none."""
        digests = np.concatenate([self._digests, _digests(ids)])
        numbers = np.concatenate([self._rows, np.asarray(rows, dtype=np.int64)])
        order = np.argsort(digests, kind="stable")
        digests, numbers = digests[order], numbers[order]
        repeats = np.flatnonzero(digests[1:] == digests[:-1])
        self._digests, self._rows = digests, numbers
        if not len(repeats):
            return None
        first = repeats[np.argmin(numbers[repeats + 1])]
        return int(numbers[first + 1]), int(numbers[first])


def _digests(ids: Sequence[str]) -> NDArray[np.uint64]:
    joined = b"".join(hashlib.blake2b(each.encode(), digest_size=8).digest() for each in ids)
    return np.frombuffer(joined, dtype=np.uint64)
