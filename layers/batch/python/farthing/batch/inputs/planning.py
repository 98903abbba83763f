"""A job's files cut into shards, in one pass over each."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import name_of
from farthing.batch.inputs.placed import spans
from farthing.batch.inputs.reading import open_input
from farthing.batch.inputs.sources import check_unchanged
from farthing.batch.job import Plan, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.batch.inputs.parquet import ParquetFile
    from farthing.batch.inputs.placed import Placed, Span
    from farthing.batch.inputs.text_files import TextFile
    from farthing.batch.job import Input, Job

    # Takes the bytes that have been read, and those that there are.
    Progress = Callable[[int, int], None]


def plan_shards(job: Job, progress: Progress | None = None) -> Plan:
    """The job's shards: `job.shard_rows` rows each, but for the last of every file.

    Every file is read to its end, so one that cannot be is found before anything is scored.

    :param progress: told now and then of the bytes that were read, of files as they lie.
    :raises InputInvalid: for a file that is not what its name says, or has no rows.
    :raises InputChanged: for a file that is written to meanwhile.
    :raises StorageUnavailable: where a storage does not answer.
    """
    total, before, shards = sum(given.bytes for given in job.inputs), 0, list[Shard]()
    for number, given in enumerate(job.inputs):
        for span in _spans(job, given, before, total, progress):
            shard = Shard(
                number=len(shards),
                input=number,
                start=span.start,
                end=span.end,
                first_row=span.first_row,
                rows=span.rows,
            )
            shards.append(shard)
        before += given.bytes
    return Plan(job=job.id, shards=tuple(shards))


def _spans(
    job: Job, given: Input, before: int, total: int, progress: Progress | None
) -> Iterator[Span]:
    with closing(open_input(given, job)) as file:
        found = 0
        for span in spans(_told(file, before, total, progress), job.shard_rows):
            found += span.rows
            yield span
    check_unchanged(given)
    if not found:
        raise InputInvalid(
            f"{name_of(given.uri)} was asked for its rows and has none. Give a file with rows."
        )


def _told(
    file: TextFile | ParquetFile, before: int, total: int, progress: Progress | None
) -> Iterator[Placed]:
    """The file's rows; tells of each step."""
    for placed in file.placed():
        if progress is not None:
            progress(min(before + file.source_position, total), total)
        yield placed
