"""Parquet, a batch of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from farthing.tables.chunk import Chunk, DataInvalid, check_columns, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK_ROWS = 16_384


def chunks(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    """The named columns; numbers and booleans become text.

    :raises DataInvalid: for a missing column, a column that holds no text, a damaged file.
    """
    try:
        with parquet.ParquetFile(path) as opened:
            check_columns(path.name, opened.schema_arrow.names, columns)
            for name in columns:
                _check_type(opened.schema_arrow.field(name), path.name)
            row = 1
            batches = opened.iter_batches(CHUNK_ROWS, columns=list(columns), use_threads=False)
            for batch in batches:
                texts = (
                    decoded(_bytes(batch.column(name)), path.name, name, row) for name in columns
                )
                yield Chunk(row, tuple(texts))
                row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataInvalid(
            f"{path.name} cannot be read as Parquet: {error}. Fetch or export the file again."
        ) from None


def _check_type(field: pa.Field, file: str) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    checks = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
        pa.types.is_boolean, pa.types.is_null,
    )  # fmt: skip
    if not any(check(kind) for check in checks):
        raise DataInvalid(
            f"{file} has the type {field.type} in its column {field.name!r}; a text was asked "
            "for. Convert the column to strings, or name another."
        )


def _bytes(column: pa.Array) -> list[bytes | None]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    texts = column if pa.types.is_large_string(column.type) else column.cast(pa.string())
    binary = pa.large_binary() if pa.types.is_large_string(texts.type) else pa.binary()
    values: list[bytes | None] = texts.cast(binary).to_pylist()
    return values
