"""The rows of a job's shards, on whatever machine."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Self

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import format_of, name_of
from farthing.batch.inputs.sources import check_unchanged
from farthing.batch.inputs.text_files import TextFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.batch.inputs.parquet import ParquetFile
    from farthing.batch.inputs.rows import Rows
    from farthing.batch.job import Input, Job, Shard


def open_input(given: Input, job: Job) -> TextFile | ParquetFile:
    """A planned file, to be read.

    :raises InputChanged: where it is not the one that was planned.
    :raises InputInvalid: where it is not what its name says, or lacks the job's columns.
    :raises StorageUnavailable: where its storage does not answer.
    """
    if format_of(name_of(given.uri)).form != "parquet":
        return TextFile(given, job)
    # Files of text are read without pyarrow, which takes longer to import than a function to start.
    from farthing.batch.inputs.parquet import ParquetFile

    return ParquetFile(given, job)


class Reader:
    """Reads a job's shards, one after another, and keeps its place: rising shards of a packed file
    unpack it once. Not for several threads at a time.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._number: int | None = None
        self._file: TextFile | ParquetFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, shard: Shard, window_rows: int) -> Iterator[Rows]:
        """The shard's rows in order, up to `window_rows` at a time; the file is checked before the
        first and after the last. Raises as `open_input` does.
        """
        given = self._job.inputs[shard.input]
        try:
            yield from self._open(shard.input).rows(shard, window_rows)
        except Exception as error:
            # Where reading broke off, what is held of a packed file is of no use.
            self.close()
            if isinstance(error, InputInvalid):
                # It was valid when it was planned, so most often it has been written to.
                check_unchanged(given)
            raise
        check_unchanged(given)

    def close(self) -> None:
        """Lets the file go."""
        if self._file is not None:
            self._file.close()
        self._file = self._number = None

    def _open(self, number: int) -> TextFile | ParquetFile:
        given = self._job.inputs[number]
        if self._file is None or self._number != number:
            self.close()
            self._file, self._number = open_input(given, self._job), number
        else:
            check_unchanged(given)
        return self._file


def read_rows(job: Job, shard: Shard, window_rows: int) -> Iterator[Rows]:
    """One shard's rows; see `Reader.rows`."""
    with closing(Reader(job)) as reader:
        yield from reader.rows(shard, window_rows)
