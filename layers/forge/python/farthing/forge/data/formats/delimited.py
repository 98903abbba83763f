"""CSV with quoted, multi-line fields, and TSV in which a quote is text; both also as .gz."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from farthing.forge.data.formats.chunk import Chunk, DataInvalid, check_columns, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# pyarrow reads some 40 blocks ahead. Also the longest row that can be read: a quote that is never
# closed ends here.
BLOCK_BYTES = 1 << 20


def chunks(path: Path, columns: Sequence[str], *, quoted: bool) -> Iterator[Chunk]:
    """The named columns of the file, about 1 MB of it at a time.

    :param quoted: whether a field may stand in double quotes, as in CSV; else tabs separate.
    :raises DataInvalid: for a missing column, a row of another width, bytes that are no UTF-8,
        a damaged archive.
    """
    wrong: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        wrong.append(row)
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
    reading = csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    try:
        with csv.open_csv(path, read_options=reading, parse_options=parsing) as peek:
            check_columns(path.name, peek.schema.names, columns)
        opened = csv.open_csv(
            path, read_options=reading, parse_options=parsing, convert_options=converting
        )
        row = 2
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
    if "straddling" in str(error):
        return (
            f"{file} is read as {kind} and has a row longer than {BLOCK_BYTES >> 20} MB. "
            "Close the quote that was left open, or shorten the text."
        )
    if "mpty CSV file" in str(error):
        return f"{file} was asked for its rows and has none. Give a file with a header and rows."
    return f"{file} cannot be read as {kind}: {error}. Repair or export the file again."
