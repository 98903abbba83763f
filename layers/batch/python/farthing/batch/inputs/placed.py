"""Where rows stand in a file, and how they are cut into shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farthing.batch.inputs.records import Offsets


class Placed(NamedTuple):
    """Row i lies from `starts[i]` to `ends[i]`, as `Shard` counts, and is the row `numbers[i]`."""

    starts: Offsets
    ends: Offsets
    numbers: Offsets


class Span(NamedTuple):
    """Consecutive rows of a file."""

    start: int
    end: int
    first_row: int
    rows: int


def spans(placed: Iterable[Placed], rows_max: int) -> Iterator[Span]:
    """All rows in spans of `rows_max`, and the rest."""
    span = None
    for starts, ends, numbers in placed:
        at = 0
        while at < len(starts):
            span = span or Span(int(starts[at]), 0, int(numbers[at]), 0)
            until = min(len(starts), at + rows_max - span.rows)
            span = span._replace(end=int(ends[until - 1]), rows=span.rows + until - at)
            at = until
            if span.rows == rows_max:
                yield span
                span = None
    if span:
        yield span
