"""A run to be quoted: how many rows, what one takes, by when."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from farthing.planning.errors import PlanningError
from farthing.planning.work import DATA, MEMORY_MARGIN, Milliseconds, Positive

ROWS_MAX = 1_000_000_000_000
US_PER_MS = 1000
VCPU = 1000


class BatchWork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row at one full vCPU of the machine that `source` names, among others in a batch: read,
    computed and written. `start_ms` is until a process has read its bundle and can begin.
    """

    name: str
    task: Literal["classify", "embed"]
    row_ms: Milliseconds
    start_ms: Milliseconds
    peak_mb: Positive
    source: str

    @property
    def needed_mb(self) -> int:
        return math.ceil(self.peak_mb * MEMORY_MARGIN)

    def rows_us(self, rows: int) -> int:
        """So many rows on one full vCPU."""
        return max(1, math.ceil(rows * self.row_ms * US_PER_MS))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`deadline_s` None: whenever it is done."""

    work: BatchWork
    rows: Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]
    shard_rows: Positive
    deadline_s: Annotated[int, msgspec.Meta(ge=1)] | None = None

    @property
    def shards(self) -> int:
        return -(-self.rows // self.shard_rows)

    @property
    def shard_us(self) -> int:
        """A whole shard on one full vCPU."""
        return self.work.rows_us(self.shard_rows)

    @property
    def compute_us(self) -> int:
        """All rows on one full vCPU."""
        return self.work.rows_us(self.rows)

    def elapsed_s(self, workers: int, start_us: int) -> float:
        """Until the last of `workers` full vCPUs is done, each begun after `start_us`.

        Shards are what workers share: the last round may keep some of them idle.
        """
        rounds = -(-self.shards // workers)
        return (start_us + min(rounds * self.shard_us, self.compute_us)) / 1_000_000

    def workers_for(self, start_us: int, most: int, again: float = 1.0) -> int | None:
        """The fewest workers that meet the deadline, though all takes `again` times as long.

        None where `most` of them do not, and without a deadline.
        """
        if self.deadline_s is None:
            return None
        in_time_s = self.deadline_s / again
        low, high = 1, min(most, self.shards)
        if self.elapsed_s(high, start_us) > in_time_s:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.elapsed_s(middle, start_us) <= in_time_s:
                high = middle
            else:
                low = middle + 1
        return low


def known_batch_work(name: str) -> BatchWork:
    """What a shipped bundle was measured to take in batches.

    Raises `PlanningError` naming those there are.
    """
    known = msgspec.json.decode((DATA / "batch.json").read_bytes(), type=list[BatchWork])
    for one in known:
        if one.name == name:
            return one
    raise PlanningError(
        f"No batch of the bundle {name} was measured; there are "
        f"{', '.join(one.name for one in known)}. Give --row-ms, or a file to measure it on."
    )
