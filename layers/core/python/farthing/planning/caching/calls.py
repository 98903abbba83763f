"""A trace whose column tells which calls are equal, and the instances that take its calls."""

from __future__ import annotations

from array import array

# Resolved at run time by msgspec, which reads the annotations.
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from farthing.planning.errors import PlanningError
from farthing.planning.trace_rows import Rows, read_file
from farthing.planning.traffic import HOURS_PER_MONTH, US_PER_HOUR

if TYPE_CHECKING:
    from pathlib import Path


class KeyedCalls(msgspec.Struct, frozen=True):
    """Calls in their order. Equal calls have equal `keys`: hashes, which tell nothing else."""

    arrivals_us: Sequence[int]
    keys: Sequence[int]
    distinct: int
    calls_month: int
    says: tuple[str, ...]

    def month(self, simulated: int) -> int:
        """A number of the trace's calls, scaled to a month, to the nearest one."""
        calls = len(self.keys)
        return (simulated * self.calls_month + calls // 2) // calls


def read_keyed(file: Path, column: str) -> KeyedCalls:
    """The calls of a trace with a column that tells which are equal; it is hashed at once.

    Raises `PlanningError` where there is no such column, or no rate.
    """
    rows = Rows(key=column)
    read_file(file, rows)
    count = len(rows.calls)
    order = sorted(range(count), key=lambda call: rows.calls[call][0])
    first_us = rows.calls[order[0]][0] if order else 0
    passed_us = rows.calls[order[-1]][0] - first_us if order else 0
    if count < 2 or not passed_us:
        raise PlanningError(
            f"The trace has {count} usable calls at one instant or none, so it has no rate. "
            "Give a trace of two or more moments."
        )
    span_us = passed_us * count // (count - 1)
    calls_month = max(1, (count * HOURS_PER_MONTH * US_PER_HOUR + span_us // 2) // span_us)
    distinct = len(set(rows.keys))
    rate = (
        f"The trace has {count:,} calls in {passed_us / US_PER_HOUR:,.2f} hours, {distinct:,} of "
        f"them different; a month of {HOURS_PER_MONTH} hours has {calls_month:,} at that rate."
    )
    says = [rate]
    if rows.bad:
        says.append(
            f"{rows.bad:,} bad rows were left out, the first is line {rows.bad_line}: "
            f"{rows.bad_why}."
        )
    return KeyedCalls(
        array("q", (rows.calls[call][0] - first_us for call in order)),
        array("Q", (rows.keys[call] for call in order)),
        distinct,
        calls_month,
        tuple(says),
    )


def instances_of(arrivals_us: Sequence[int], service_us: int, keep_us: int) -> Sequence[int]:
    """Which instance takes each call, by number: the one that was used last, else a new one.

    An instance takes one call at a time and is gone, with its memory, after so long without one.
    """
    taken = array("L")
    busy: list[tuple[int, int]] = []
    free: list[tuple[int, int]] = []
    started = 0
    for at_us in arrivals_us:
        while busy and busy[0][0] <= at_us:
            free.append(heappop(busy))
        if free and at_us - free[-1][0] <= keep_us:
            instance = free.pop()[1]
        else:
            # Had the last one used idled too long, so had all before it.
            free.clear()
            instance = started
            started += 1
        heappush(busy, (at_us + service_us, instance))
        taken.append(instance)
    return taken
