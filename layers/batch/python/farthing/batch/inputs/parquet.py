"""Parquet, a batch of rows at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import check_columns, name_of
from farthing.batch.inputs.placed import Placed
from farthing.batch.inputs.rows import Window
from farthing.batch.inputs.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.batch.inputs.rows import Rows
    from farthing.batch.job import Input, Job, Shard

BATCH_ROWS: Final = 1024
# Without a buffer, a row group's columns are read whole.
BUFFER_BYTES: Final = 1 << 20


class ParquetFile:
    """The columns of a job in a Parquet file; it keeps its place from shard to shard.

    :raises InputInvalid: where it is no Parquet, lacks a column or has no texts in it.
    """

    def __init__(self, given: Input, job: Job) -> None:
        self._name, self._job = name_of(given.uri), job
        self._columns = [name for name in (job.text_column, job.id_column) if name is not None]
        self._source = Source(given)
        try:
            with self._told():
                self._file = parquet.ParquetFile(
                    self._source, buffer_size=BUFFER_BYTES, pre_buffer=False
                )
            self._check_schema()
        except BaseException:
            self.close()
            raise
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        # Row group g begins with row `begins[g]`; the last entry is the number of all rows.
        self._begins = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        self._batches = self._batches_from(0)
        # A batch that the next shard goes on with, and the row that comes next.
        self._held: tuple[int, Any] | None = None
        self._position = 0

    @property
    def source_position(self) -> int:
        """How many bytes of the file as it lies have been read, about."""
        return self._source.tell()

    def placed(self) -> Iterator[Placed]:
        """Where all of its rows stand; reads them all, so that what is broken is found."""
        for start, batch in self._batches_from(0):
            starts = np.arange(start, start + len(batch), dtype=np.int64)
            yield Placed(starts, starts + 1, starts + 1)

    def rows(self, shard: Shard, window_rows: int) -> Iterator[Rows]:
        """A shard's rows, up to `window_rows` at a time."""
        window = Window(self._job, self._name, window_rows)
        for start, batch in self._between(shard.start, shard.end):
            columns = [_values(batch.column(name)) for name in self._columns]
            for number, row in enumerate(zip(*columns, strict=True), start + 1):
                if window.room <= 0:
                    yield window.take()
                self._add(number, row, window)
        yield window.take()

    def close(self) -> None:
        self._source.close()

    def _add(self, number: int, row: tuple[str | bytes | None, ...], window: Window) -> None:
        text, id_ = row if len(row) == 2 else (row[0], None)
        if isinstance(text, bytes) or isinstance(id_, bytes):
            window.reject(number, None, "the row is not UTF-8")
        elif text is None:
            window.reject(number, id_ or "", "the text is missing")
        else:
            window.add(number, id_ or "", text)

    def _between(self, start: int, end: int) -> Iterator[tuple[int, Any]]:
        """The rows from `start` to `end`, unpacking none twice where shards come in order."""
        group = int(np.searchsorted(self._begins, start, side="right")) - 1
        if not self._begins[group] <= self._position <= start:
            self._batches, self._held = self._batches_from(group), None
        while found := self._held or next(self._batches, None):
            first, batch = found
            after = first + len(batch)
            self._held = found if after > end else None
            self._position = first if self._held else after
            if after > start:
                row = max(first, start)
                yield row, batch.slice(row - first, min(after, end) - row)
            if after >= end:
                return

    def _batches_from(self, group: int) -> Iterator[tuple[int, Any]]:
        """Batches from a row group on, each with the row that it begins with."""
        row = int(self._begins[group])
        groups = list(range(group, self._file.num_row_groups))
        with self._told():
            for batch in self._file.iter_batches(
                BATCH_ROWS, row_groups=groups, columns=self._columns, use_threads=False
            ):
                yield row, batch
                row += len(batch)

    def _check_schema(self) -> None:
        schema = self._file.schema_arrow
        check_columns(self._name, schema.names, self._columns)
        for name in self._columns:
            kind = schema.field(name).type
            if not _is_plain(kind.value_type if pa.types.is_dictionary(kind) else kind):
                raise InputInvalid(
                    f"{self._name} has the type {kind} in its column {name!r}, and texts were "
                    "asked for. Convert the column to strings, or name another."
                )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        # What the storage says never arrives as an OSError; pyarrow's own errors do.
        except (pa.ArrowException, OSError) as error:
            why = " ".join(str(error).split()).rstrip(".")
            raise InputInvalid(
                f"{self._name} cannot be read as Parquet ({why}). Fetch or export it again."
            ) from error


def _is_plain(kind: pa.DataType) -> bool:
    checks = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
        pa.types.is_boolean, pa.types.is_null,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _values(column: pa.Array) -> list[str | bytes | None]:
    """The values as texts; bytes where they are no UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    texts = column.cast(pa.large_string())
    try:
        values: list[str | bytes | None] = texts.to_pylist()
    except UnicodeDecodeError:
        values = [_text(value) for value in texts.cast(pa.large_binary()).to_pylist()]
    return values


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
