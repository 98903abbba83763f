"""What a trace tells of the week: the calls of its hours, and a sample that can be simulated."""

from __future__ import annotations

import math
import random
import statistics
from array import array

# Resolved at run time by msgspec, which reads the annotations.
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from farthing.planning.errors import PlanningError
from farthing.planning.trace_rows import Rows, read_file
from farthing.planning.traffic import (
    CALLS_PER_DAY_MAX,
    HOURS_PER_MONTH,
    SEED,
    SIMULATED_MAX,
    US_PER_HOUR,
    US_PER_S,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WEEK_HOURS = 168
# 1970 began on a Thursday; hour 0 of the week is Monday's first, UTC.
EPOCH_HOUR = 72
PIECE_US = 900 * US_PER_S
# A prime, so that short pieces fall on different hours of the week too.
PIECES_MIN = 97
# So that pieces which are a fixed step apart fall on all quarters of an hour and all hours of a
# week, the step shares no factor with how many a week has.
PIECES_PER_WEEK = 672


class History(msgspec.Struct, frozen=True):
    """`arrivals_us` are sorted and within `span_us`; `hours` is each one's hour of the week, UTC.

    `by_hour` is the mean number of calls in each of the week's hours, `weeks` how many weeks the
    trace has. `services_us` are the calls' own times where a trace tells them all.
    """

    arrivals_us: Sequence[int]
    hours: Sequence[int]
    span_us: int
    calls_month: int
    by_hour: tuple[float, ...]
    weeks: float
    says: tuple[str, ...]
    services_us: Sequence[int] | None = None

    def month(self, simulated: int) -> int:
        """A quantity of the simulated calls, scaled to the month's calls, to the nearest unit."""
        calls = len(self.arrivals_us)
        return (simulated * self.calls_month + calls // 2) // calls


def read_history(file: Path) -> History:
    """The history in a file of calls, or of intervals and how many calls came in each.

    An interval's row has only its begin and a whole number; calls within it come by chance.
    Raises `PlanningError` where no rate can be read from it.
    """
    rows = Rows(series=True)
    read_file(file, rows)
    if rows.counts and rows.calls:
        raise PlanningError(
            "Some of the trace's rows are calls and some are intervals with a number of calls. "
            "Give one kind."
        )
    if rows.counts:
        return _of_intervals(sorted(rows.counts), rows)
    return _of_calls(sorted(rows.calls), rows)


def hour_of_week(at_us: int) -> int:
    """0 is Monday's first, UTC."""
    return (at_us // US_PER_HOUR + EPOCH_HOUR) % WEEK_HOURS


def _of_calls(calls: list[tuple[int, int, int]], rows: Rows) -> History:
    if len(calls) < 2 or calls[0][0] == calls[-1][0]:
        raise _no_rate(len(calls))
    first_us = calls[0][0]
    # n calls have n - 1 gaps between them; the one after the last is taken to be their mean.
    span_us = (calls[-1][0] - first_us) * len(calls) // (len(calls) - 1)
    sample = _Sample(first_us, span_us, len(calls))
    services = array("q")
    for at_us, duration_us, _ in calls:
        if sample.take(at_us):
            services.append(duration_us)
    by_hour = [0.0] * WEEK_HOURS
    for at_us, _, _ in calls:
        by_hour[hour_of_week(at_us)] += 1
    told = services if all(services) else None
    return sample.history(by_hour, f"{len(calls):,} calls", rows, told)


def _of_intervals(counts: list[tuple[int, int]], rows: Rows) -> History:
    whole = sum(count for _, count in counts)
    gaps = [after[0] - before[0] for before, after in pairwise(counts) if after[0] > before[0]]
    if whole < 2 or not gaps:
        raise _no_rate(whole)
    # Where rows are missing a gap is longer, and the time between has no calls.
    step_us = round(statistics.median_low(gaps))
    first_us = counts[0][0]
    sample = _Sample(first_us, counts[-1][0] + step_us - first_us, whole)
    draws = random.Random(SEED)  # noqa: S311 - chance for a simulation, and repeatable
    by_hour = [0.0] * WEEK_HOURS
    for at_us, count in counts:
        for hour_us, share in _hours_of(at_us, step_us):
            by_hour[hour_of_week(hour_us)] += count * share
        for at in sample.within(at_us, step_us, count, draws):
            sample.take(at)
    says = f"{whole:,} calls in intervals of {step_us / US_PER_S:g} s, within which they come by"
    return sample.history(by_hour, f"{says} chance,", rows, None)


def _hours_of(at_us: int, step_us: int) -> Iterable[tuple[int, float]]:
    """The hours that an interval touches, with the share of it that lies in each."""
    end_us = at_us + step_us
    while at_us < end_us:
        until_us = min(end_us, (at_us // US_PER_HOUR + 1) * US_PER_HOUR)
        yield at_us, (until_us - at_us) / step_us
        at_us = until_us


def _no_rate(calls: int) -> PlanningError:
    return PlanningError(
        f"The trace has {calls} usable calls at one instant or none, so it has no rate. "
        "Give a trace of two or more moments."
    )


class _Sample:
    """Every so-manieth piece of the trace, joined, where it has more calls than are simulated."""

    def __init__(self, first_us: int, span_us: int, calls: int) -> None:
        month_us = HOURS_PER_MONTH * US_PER_HOUR
        self.calls_month = max(1, (calls * month_us + span_us // 2) // span_us)
        if self.calls_month > CALLS_PER_DAY_MAX * 31:
            raise PlanningError(
                f"The trace has {self.calls_month:,} calls a month; at most "
                f"{CALLS_PER_DAY_MAX:,} a day can be planned. Check its numbers."
            )
        self._first_us, self._whole_us, self._calls = first_us, span_us, calls
        self._stride = -(-calls // SIMULATED_MAX)
        while self._stride > 1 and math.gcd(self._stride, PIECES_PER_WEEK) > 1:
            self._stride += 1
        self._piece_us = span_us
        if self._stride > 1:
            self._piece_us = max(1000, min(PIECE_US, span_us // self._stride // PIECES_MIN))
        self._arrivals, self._hours = array("q"), array("B")

    def take(self, at_us: int) -> bool:
        """Whether the call is in a piece that is simulated."""
        piece, within_us = divmod(at_us - self._first_us, self._piece_us)
        turn, rest = divmod(piece, self._stride)
        if rest:
            return False
        self._arrivals.append(turn * self._piece_us + within_us)
        self._hours.append(hour_of_week(at_us))
        return True

    def within(self, at_us: int, step_us: int, count: int, draws: random.Random) -> list[int]:
        """Moments of an interval's calls, of those that lie in simulated pieces."""
        if self._stride == 1:
            return sorted(at_us + draws.randrange(step_us) for _ in range(count))
        moments: list[int] = []
        every_us = self._piece_us * self._stride
        begin_us = at_us - self._first_us
        piece_us = begin_us // every_us * every_us
        while piece_us < begin_us + step_us:
            low = max(begin_us, piece_us)
            part_us = min(begin_us + step_us, piece_us + self._piece_us) - low
            if part_us > 0:
                share = count * part_us / step_us
                drawn = int(share) + (draws.random() < share - int(share))
                low += self._first_us
                moments += sorted(low + draws.randrange(part_us) for _ in range(drawn))
            piece_us += every_us
        return moments

    def history(
        self, calls: list[float], what: str, rows: Rows, services: Sequence[int] | None
    ) -> History:
        seen = self._hours_seen()
        by_hour = tuple(count / seen[hour] for hour, count in enumerate(calls))
        hours = self._whole_us / US_PER_HOUR
        rate = (
            f"The trace has {what} in {hours:,.1f} hours; a month of {HOURS_PER_MONTH} hours has "
            f"{self.calls_month:,} at that rate."
        )
        says = [rate]
        if hours < WEEK_HOURS:
            says.append("It is shorter than a week, so other hours are taken to be like its own.")
        says += rows.complaints()
        span_us = self._whole_us
        if self._stride > 1:
            pieces = -(-self._whole_us // self._piece_us)
            span_us = -(-pieces // self._stride) * self._piece_us
            says.append(
                f"Of each {self._piece_us * self._stride / US_PER_S:,.0f} s of it the first "
                f"{self._piece_us / US_PER_S:,.0f} are simulated, {len(self._arrivals):,} calls, "
                "and stand for all."
            )
        if len(self._arrivals) == 0:
            raise _no_rate(0)
        return History(
            self._arrivals,
            self._hours,
            span_us,
            self.calls_month,
            by_hour,
            hours / WEEK_HOURS,
            tuple(says),
            services,
        )

    def _hours_seen(self) -> list[float]:
        """How often the trace has each hour of the week, 1 where it has it never."""
        weeks, rest_us = divmod(self._whole_us, WEEK_HOURS * US_PER_HOUR)
        seen = [float(weeks)] * WEEK_HOURS
        for hour_us, share in _hours_of(self._first_us, max(1, rest_us)):
            seen[hour_of_week(hour_us)] += share * rest_us / US_PER_HOUR
        return [often or 1.0 for often in seen]
