"""What could not be read, counted, and the first of it named; reading never stops for it."""

from __future__ import annotations

import msgspec

NAMED_MAX = 20


class Malformed(ValueError):
    """A line looks like a record and is none; the text says why, without repeating the line."""


class Fault(msgspec.Struct, frozen=True):
    """Where a line stands, and why it is no record."""

    place: str
    reason: str


class Faults:
    """Counts faults; names the first `NAMED_MAX`."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[Fault] = []

    def add(self, place: str, reason: object) -> None:
        self.count += 1
        if len(self.named) < NAMED_MAX:
            self.named.append(Fault(place, str(reason)))
