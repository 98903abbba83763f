"""The name under which one process writes its entries, and their numbers."""

from __future__ import annotations

import os


class Writer:
    """64 random bits, and 1, 2, 3 … Made at the first entry: copies of a snapshot are others.

    Its callers hold a lock.
    """

    def __init__(self) -> None:
        self.name = os.urandom(8).hex()
        self._number = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number
