"""How long shards take, so that none is begun that would be cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.batch.events.calls import Call
    from farthing.batch.job import Done, Shard

# Rows of the next shard may be longer.
MARGIN = 1.25


class Pace:
    """What a row of the last shard took of one model on this instance; 0 before the first."""

    def __init__(self) -> None:
        self.row_ns = 0
        self.row_tokens = 0

    def learn(self, done: Done) -> None:
        rows = max(1, done.rows_in)
        self.row_ns = done.usage.busy_ns // rows
        self.row_tokens = done.usage.prompt_tokens // rows

    def has_time(self, call: Call, shards: Iterable[Shard]) -> bool:
        """Whether all of them may be done within the call; nobody knows before the first."""
        expected_ns = sum(shard.rows for shard in shards) * self.row_ns * MARGIN
        return not call.is_over() and call.left_ms * NS_PER_MS >= expected_ns

    def shards_in(self, time_ms: int, shard: Shard) -> int:
        """How many shards of this one's size fit into so many milliseconds; 1 at least."""
        shard_ns = max(1, int(shard.rows * self.row_ns * MARGIN))
        return max(1, time_ms * NS_PER_MS // shard_ns)
