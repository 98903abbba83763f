"""What shards write: their rows as JSON lines or Parquet, and the rows that were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.batch.job import Job, OutFormat
    from farthing.inference.heads import Floats


class Part(Protocol):
    """A shard's rows on their way to a file. Its bytes depend on the rows alone.

    Raises `StorageUnavailable` where the disk takes no more.
    """

    def __init__(self, job: Job, labels: Sequence[str], dims: int, file: Path, /) -> None: ...

    def add(self, ids: Sequence[str], values: Floats, /) -> None:
        """The next rows: probabilities or vectors, [ids, dims]."""

    def close(self) -> None:
        """Ends the file; `add` is not called any more."""

    def abandon(self) -> None:
        """Lets the file go as it is, ended or not; never raises."""


def part_of(out_format: OutFormat) -> type[Part]:
    """The parts of that format; its libraries are imported only now."""
    if out_format == "parquet":
        from farthing.batch.parts.parquet import ParquetPart

        return ParquetPart
    from farthing.batch.parts.jsonl import JsonLinesPart

    return JsonLinesPart
