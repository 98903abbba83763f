"""A piece of a file: some columns of some rows, and what every format refuses alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farthing.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED_MAX = 12


class DataInvalid(StartupError):
    """A file of texts or labels is not what a recipe needs."""


class Chunk(NamedTuple):
    """`columns[c][r]` is column c of row r; None where the file has no value.

    `first_row` is the number that the user sees for row 0: the header is row 1 of a CSV or TSV
    file, as in a spreadsheet; lines of JSON and rows of Parquet are counted from 1.
    """

    first_row: int
    columns: tuple[list[str | None], ...]


def some(names: Sequence[str]) -> str:
    """The first names, comma-separated, and how many more there are."""
    shown = ", ".join(names[:NAMED_MAX])
    return shown if len(names) <= NAMED_MAX else f"{shown} and {len(names) - NAMED_MAX} more"


def check_columns(file: str, has: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuses a file that lacks a wanted column or has it more than once.

    :raises DataInvalid: naming the columns that there are.
    """
    for column in wanted:
        if column not in has:
            raise DataInvalid(
                f"{file} was asked for its column {column!r} and has the columns {some(has)}. "
                "Name one of these."
            )
        if has.count(column) > 1:
            raise DataInvalid(
                f"{file} has the column {column!r} {has.count(column)} times, so which one is "
                "meant is open. Rename all but one."
            )


def decoded(
    values: Sequence[bytes | None], file: str, column: str, first_row: int
) -> list[str | None]:
    """The UTF-8 texts of one column.

    :raises DataInvalid: naming the first row that is no UTF-8.
    """
    try:
        return [None if value is None else value.decode() for value in values]
    except UnicodeDecodeError:
        row = next(at for at, value in enumerate(values) if value is not None and not _utf8(value))
        raise DataInvalid(
            f"{file} is to be read as UTF-8, and its row {first_row + row} is not in the column "
            f"{column!r}. Save the file as UTF-8."
        ) from None


def _utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
