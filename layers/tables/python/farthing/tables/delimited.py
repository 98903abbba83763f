"""CSV with quoted, multi-line fields, and TSV in which a quote is text; both also as .gz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from farthing.tables.chunk import Chunk, DataInvalid, check_columns, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# pyarrow reads some 40 blocks ahead, so they are small: 1 MB each took 50 MB more.
BLOCK_BYTES = 1 << 18
# The longest row: a quote that is never closed ends here.
ROW_BYTES_MAX = 1 << 20


def chunks(path: Path, columns: Sequence[str], *, quoted: bool) -> Iterator[Chunk]:
    """The named columns of the file, a part of a megabyte at a time.

    :param quoted: whether a field may stand in double quotes, as in CSV; else tabs separate.
    :raises DataInvalid: for a missing column, a row of another width, bytes that are no UTF-8,
        a damaged archive.
    """
    row = 2
    try:
        for chunk in _chunks(path, columns, quoted, BLOCK_BYTES, row):
            yield chunk
            row += len(chunk.columns[0])
    except _LongRow:
        # Rows longer than a block are rare: what follows is read in blocks that hold them.
        try:
            yield from _chunks(path, columns, quoted, ROW_BYTES_MAX, row)
        except _LongRow:
            kind = "CSV" if quoted else "TSV"
            raise DataInvalid(
                f"{path.name} is read as {kind} and has a row longer than {ROW_BYTES_MAX >> 20} "
                "MB. Close the quote that was left open, or shorten the text."
            ) from None


class _LongRow(Exception):
    """A row does not fit into a block."""


def _chunks(
    path: Path, columns: Sequence[str], quoted: bool, block_bytes: int, row: int
) -> Iterator[Chunk]:
    """As `chunks`, from the row of that number on. Raises `_LongRow`."""
    wrong: list[csv.InvalidRow] = []

    def note(found: csv.InvalidRow) -> str:
        wrong.append(found)
        return "error"

    parsing = csv.ParseOptions(
        delimiter="," if quoted else "\t",
        quote_char='"' if quoted else False,
        double_quote=quoted,
        escape_char=False,
        newlines_in_values=quoted,
        invalid_row_handler=note,
    )
    # As bytes, so that every value stays as it is written and bad UTF-8 is found with its row.
    converting = csv.ConvertOptions(
        check_utf8=False,
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.binary()),
        strings_can_be_null=False,
    )
    reading = csv.ReadOptions(
        use_threads=False, block_size=block_bytes, skip_rows_after_names=row - 2
    )
    try:
        with csv.open_csv(path, read_options=reading, parse_options=parsing) as peek:
            check_columns(path.name, peek.schema.names, columns)
        opened = csv.open_csv(
            path, read_options=reading, parse_options=parsing, convert_options=converting
        )
        with opened:
            for batch in opened:
                values = [batch.column(name).to_pylist() for name in columns]
                texts = (
                    decoded(column, path.name, name, row)
                    for name, column in zip(columns, values, strict=True)
                )
                yield Chunk(row, tuple(texts))
                row += batch.num_rows
    except UnicodeDecodeError:
        raise DataInvalid(
            f"{path.name} is to be read as UTF-8, and its header is not. Save the file as UTF-8."
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        if "straddling" in str(error):
            raise _LongRow from None
        raise DataInvalid(_why(path.name, error, wrong, quoted=quoted)) from None


def _why(file: str, error: Exception, wrong: Sequence[csv.InvalidRow], *, quoted: bool) -> str:
    kind = "CSV" if quoted else "TSV"
    if wrong:
        row = wrong[0]
        return (
            f"{file} is read as {kind} with the {row.expected_columns} columns of its header, and "
            f"row {row.number} has {row.actual_columns}. Correct that row"
            + (", or the quotes before it." if quoted else "; a field has no tabs inside.")
        )
    if "mpty CSV file" in str(error):
        return f"{file} was asked for its rows and has none. Give a file with a header and rows."
    return f"{file} cannot be read as {kind}: {error}. Repair or export the file again."
