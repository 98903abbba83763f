"""Which entries a root holds: ranges of a writer's numbers, and how to look one up."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farthing.billing.ledger import Entry, Root

    Range = tuple[str, int, int]


class Numbers:
    """The numbers seen of one writer, as ranges, each with a moment at which it began.

    They mostly come in rising order; where a clock went backwards, they need not.
    """

    __slots__ = ("_at_ms", "_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._at_ms: list[int] = []

    def add(self, number: int, at_ms: int) -> None:
        """Notes a number that an entry of this moment bears."""
        after = bisect_right(self._firsts, number)
        before = after - 1
        if before >= 0 and number <= self._lasts[before]:
            return
        joins_before = before >= 0 and self._lasts[before] == number - 1
        joins_after = after < len(self._firsts) and self._firsts[after] == number + 1
        if joins_before and joins_after:
            self._lasts[before] = self._lasts[after]
            del self._firsts[after], self._lasts[after], self._at_ms[after]
        elif joins_before:
            self._lasts[before] = number
        elif joins_after:
            self._firsts[after], self._at_ms[after] = number, at_ms
        else:
            self._firsts.insert(after, number)
            self._lasts.insert(after, number)
            self._at_ms.insert(after, at_ms)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]

    def gaps(self) -> Iterator[tuple[int, int, int]]:
        """(first, last) of the numbers that are missing from 1 on, and when the next one came."""
        expected = 1
        for first, last, at_ms in zip(self._firsts, self._lasts, self._at_ms, strict=True):
            if first > expected:
                yield expected, first - 1, at_ms
            expected = last + 1

    def first_missing(self, first: int, last: int) -> int | None:
        """The first number of a range that was not seen; None where all were."""
        for number in range(first, last + 1):
            if number not in self:
                return number
        return None


class Covers:
    """Looks up which of a tenant's roots holds an entry."""

    def __init__(self) -> None:
        self._starts: dict[tuple[str, str], list[int]] = {}
        self._held: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._tenants: dict[str, set[str]] = {}

    def add(self, root: Root) -> None:
        for writer, first, last in root.covers:
            key = root.tenant, writer
            self._tenants.setdefault(writer, set()).add(root.tenant)
            starts = self._starts.setdefault(key, [])
            place = bisect_right(starts, first)
            starts.insert(place, first)
            self._held.setdefault(key, []).insert(place, (last, root.sequence))

    def sequence(self, tenant: str, writer: str, number: int) -> int | None:
        """The sequence of the tenant's root that holds the entry; None where none does."""
        key = tenant, writer
        starts = self._starts.get(key)
        if starts is None:
            return None
        place = bisect_right(starts, number) - 1
        if place < 0:
            return None
        last, sequence = self._held[key][place]
        return sequence if number <= last else None

    def others(self, entry: Entry) -> list[tuple[str, int]]:
        """(tenant, sequence) of roots of other tenants whose ranges run across the entry."""
        return [
            (tenant, sequence)
            for tenant in sorted(self._tenants.get(entry.writer, ()))
            if tenant != entry.tenant
            and (sequence := self.sequence(tenant, entry.writer, entry.number)) is not None
        ]


def ranges_of(
    held: Mapping[str, Iterable[int]], others: Mapping[str, Mapping[int, str]], tenant: str
) -> tuple[Range, ...]:
    """The ranges for a root over a tenant's numbers by writer, sorted.

    A range may run across numbers that are known to be another tenant's (`others` names each
    number's tenant), since a tenant's cover says nothing about those. It ends before a number
    that has not arrived, which a later root shall hold.
    """
    found: list[Range] = []
    for writer in sorted(held):
        tenants = others.get(writer, {})
        first = last = 0
        for number in sorted(held[writer]):
            joins = first and all(
                tenants.get(between, tenant) != tenant for between in range(last + 1, number)
            )
            if not joins:
                if first:
                    found.append((writer, first, last))
                first = number
            last = number
        found.append((writer, first, last))
    return tuple(found)
