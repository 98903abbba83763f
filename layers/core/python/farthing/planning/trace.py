"""A trace file: one row a call, as CSV, tabs or JSON lines, with what is wrong in it counted."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from farthing.planning.errors import PlanningError
from farthing.planning.trace_rows import Rows, read_file
from farthing.planning.traffic import HOURS_PER_MONTH, SIMULATED_MAX, US_PER_HOUR, Traffic

if TYPE_CHECKING:
    from pathlib import Path

LONG_GAP_US = 24 * US_PER_HOUR
SHORT_SPAN_US = 24 * US_PER_HOUR


def read_trace(file: Path) -> Traffic:
    """The traffic of a trace, scaled from its span to a month.

    A row needs a `timestamp` (ISO 8601, else epoch in s, ms, us or ns) and may have `duration_ms`
    (at one full vCPU), `tokens` and `request_id`, whose repetitions are dropped. CSV needs a
    header unless it has one column. Raises `PlanningError` where no rate can be read from it: it
    cannot be read, is empty, is one instant, or has more bad rows than good ones.
    """
    rows = Rows()
    read_file(file, rows)
    calls = sorted(rows.calls)
    if len(calls) < 2 or calls[0][0] == calls[-1][0]:
        raise PlanningError(
            f"The trace has {len(calls)} usable calls at one instant or none, so it has no rate. "
            "Give a trace of two or more moments, or --calls-per-day."
        )
    return _traffic(calls, rows)


def _traffic(calls: list[tuple[int, int, int]], rows: Rows) -> Traffic:
    count = len(calls)
    first_us = calls[0][0]
    passed_us = calls[-1][0] - first_us
    # n calls have n - 1 gaps between them; the one after the last is taken to be their mean.
    span_us = passed_us * count // (count - 1)
    month_us = HOURS_PER_MONTH * US_PER_HOUR
    calls_month = max(1, (count * month_us + span_us // 2) // span_us)
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(calls)]
    long_gaps = sum(gap > LONG_GAP_US for gap in gaps)
    kept = calls[:SIMULATED_MAX]
    with_duration = sum(1 for _, duration, _ in kept if duration)
    with_tokens = [tokens for _, _, tokens in calls if tokens]
    rate = (
        f"The trace has {count:,} calls in {passed_us / US_PER_HOUR:,.2f} hours; a month of "
        f"{HOURS_PER_MONTH} hours has {calls_month:,} at that rate."
    )
    says = [rate]
    if passed_us < SHORT_SPAN_US:
        says.append("It is shorter than a day, so nights and weekends are taken to be like it.")
    says += rows.complaints()
    if rows.repeated:
        says.append(f"{rows.repeated:,} repeated request ids were dropped.")
    if rows.calls != calls:
        says.append("Its rows were not in order and were sorted.")
    same = sum(gap == 0 for gap in gaps)
    if same:
        says.append(f"{same:,} calls share their instant with another and count as calls.")
    if long_gaps:
        says.append(
            f"{long_gaps:,} gaps are longer than a day, the longest {max(gaps) / US_PER_HOUR:,.1f} "
            "hours; they count as times without calls, so check that no rows are missing."
        )
    if len(kept) < count:
        says.append(f"The first {len(kept):,} calls are simulated, and stand for all.")
    if 0 < with_duration < len(kept):
        says.append(f"{len(kept) - with_duration:,} calls have no duration; all take the model's.")
    return Traffic(
        [at_us - first_us for at_us, _, _ in kept],
        span_us if len(kept) == count else kept[-1][0] - first_us + 1,
        calls_month,
        _by_hour(calls, first_us, span_us, calls_month),
        tuple(says),
        [duration for _, duration, _ in kept] if with_duration == len(kept) else None,
        round(sum(with_tokens) / len(with_tokens)) if with_tokens else None,
    )


def _by_hour(
    calls: list[tuple[int, int, int]], first_us: int, span_us: int, calls_month: int
) -> tuple[float, ...]:
    """Expected calls of a month's hours: the trace's own, told over and over."""
    hours = -(-span_us // US_PER_HOUR)
    counts = [0.0] * hours
    for at_us, _, _ in calls:
        counts[min(hours - 1, (at_us - first_us) // US_PER_HOUR)] += 1
    # The last hour may be a part of one: its rate is that of the part.
    part = span_us / US_PER_HOUR - (hours - 1)
    counts[-1] /= max(part, 1 / 60)
    month = [counts[hour % hours] for hour in range(HOURS_PER_MONTH)]
    scale = calls_month / sum(month)
    return tuple(count * scale for count in month)
