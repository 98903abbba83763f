"""Which entry and which record speak of the same attempt."""

from __future__ import annotations

import heapq
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.ledger import Entry, Record
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# An entry is written at the end of an attempt, and so is its record; retries come minutes later.
WINDOW_MS = 3_600_000
# Beyond this the attempts of one request are paired in order, without looking at the clock.
COMPARED_MAX = 8
# Entries are dated by the instance and records by the log, whose clocks differ by less.
APART_MS = 2_000


class Attempt(msgspec.Struct, frozen=True):
    """An entry and its record, or one that stands alone.

    `also` are entries of other work, shards of a job say, that the same attempt did.
    """

    entry: Entry | None
    record: Record | None
    also: tuple[Entry, ...] = ()

    @property
    def at_ms(self) -> int:
        one = self.entry or self.record
        return one.at_ms if one else 0


class Group:
    """What bears one request id in one function, within a window of time."""

    __slots__ = ("began_ms", "entries", "records")

    def __init__(self, began_ms: int) -> None:
        self.began_ms = began_ms
        self.entries: list[Entry] = []
        self.records: list[Record] = []


def attempts(entries: Iterable[Entry], records: Iterable[Record]) -> Iterator[Attempt]:
    """Every entry and every record once, paired by (function, request id) and by time.

    Both come by time. The same id in two functions is two requests. Where a function saw an id
    several times, attempts are paired in order of time; where one side lacks some, so that the
    pairs lie closest. Named work belongs to the attempt that ran when it was
    done, which may have done much of it. Memory holds one window of both.
    """
    waiting: dict[tuple[str, str], Group] = {}
    both: tuple[Iterable[Entry | Record], ...] = (entries, records)
    for item in heapq.merge(*both, key=_at_ms):
        while waiting and item.at_ms - _first(waiting).began_ms > WINDOW_MS:
            yield from _paired(waiting.pop(next(iter(waiting))))
        key = item.function, item.request_id
        group = waiting.setdefault(key, Group(item.at_ms))
        if isinstance(item, Entry):
            group.entries.append(item)
        else:
            group.records.append(item)
    for group in waiting.values():
        yield from _paired(group)


def _paired(group: Group) -> Iterator[Attempt]:
    entries, records = group.entries, group.records
    if records and any(entry.is_named_by_work for entry in entries):
        yield from _together(entries, records)
    elif len(entries) > len(records):
        chosen = _closest(entries, records)
        pairs = dict(zip(chosen, records, strict=True))
        for place, entry in enumerate(entries):
            yield Attempt(entry, pairs.get(place))
    else:
        chosen = _closest(records, entries)
        places = dict(zip(chosen, entries, strict=True))
        for place, record in enumerate(records):
            yield Attempt(places.get(place), record)


def _together(entries: Sequence[Entry], records: Sequence[Record]) -> Iterator[Attempt]:
    """Each record with the entries that were written while it ran; the others alone."""
    left = list(entries)
    for record in records:
        done = [entry for entry in left if _covers(record, entry)]
        left = [entry for entry in left if entry not in done]
        yield Attempt(done[0] if done else None, record, tuple(done[1:]))
    yield from (Attempt(entry, None) for entry in left)


def _covers(record: Record, entry: Entry) -> bool:
    began_ms = record.at_ms - (record.duration_ns + record.init_ns) // NS_PER_MS
    return began_ms - APART_MS <= entry.at_ms <= record.at_ms + APART_MS


def _closest(more: Sequence[Entry | Record], fewer: Sequence[Entry | Record]) -> list[int]:
    """Rising places in the longer list, one for each of the shorter, nearest to them in time."""
    if len(more) == len(fewer) or len(more) > COMPARED_MAX:
        return list(range(len(fewer)))

    def apart_ms(places: Iterable[int]) -> int:
        return sum(
            abs(more[place].at_ms - one.at_ms) for place, one in zip(places, fewer, strict=True)
        )

    return list(min(combinations(range(len(more)), len(fewer)), key=apart_ms))


def _first(waiting: dict[tuple[str, str], Group]) -> Group:
    """The group that waits longest: a dictionary keeps the order in which keys came."""
    return next(iter(waiting.values()))


def _at_ms(item: Entry | Record) -> int:
    return item.at_ms
