"""A look at how a file begins, before it is known which of its columns are wanted."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import msgspec

from farthing.tables.chunk import DataInvalid, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LINE_CHARS_MAX = 1 << 16


def first_line(path: Path) -> str:
    """The first line that is not blank, or as much of it as matters; empty where there is none."""
    with _opened(path) as file:
        while line := file.readline(LINE_CHARS_MAX):
            if line.strip():
                return line
    return ""


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number from 1.

    :raises DataInvalid: for a file that cannot be read, unpacked or is no UTF-8.
    """
    with _opened(path) as file:
        yield from enumerate(file, 1)


def pick_columns(
    path: Path, wanted: Sequence[Sequence[str]], optional: Sequence[str] = ()
) -> list[str]:
    """For each of the wanted columns the first of its names that the file has.

    Then the optional columns that it has.

    :raises DataInvalid: naming the columns that there are.
    """
    has = _column_names(path)
    picked = []
    for names in wanted:
        found = next((name for name in names if name in has), None)
        if found is None:
            raise DataInvalid(
                f"{path.name} was asked for a column {' or '.join(names)} and has "
                f"{some(has) or 'no columns'}. Rename one, or give another file."
            )
        picked.append(found)
    return picked + [name for name in optional if name in has]


def _column_names(path: Path) -> list[str]:
    """By the header of CSV and TSV, the schema of Parquet, the first object of JSON lines."""
    ending = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if ending == ".parquet":
        return _parquet_names(path)
    line = first_line(path).rstrip("\r\n")
    if ending == ".tsv":
        return line.split("\t")
    if ending == ".csv":
        return next(csv.reader([line]), [])
    try:
        return [str(key) for key in msgspec.json.decode(line.encode(), type=dict)]
    except msgspec.DecodeError:
        raise DataInvalid(
            f"{path.name} begins neither with a table's header nor with a JSON object. Give a "
            ".csv, .tsv or .jsonl file, also as .gz, or a .parquet file."
        ) from None


def _parquet_names(path: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        names: list[str] = parquet.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise DataInvalid(
            f"{path.name} cannot be read as Parquet: {error}. Fetch or export the file again."
        ) from None
    return names


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with (
            path.open("rb") as raw,
            gzip.open(raw) if path.suffix == ".gz" else raw as plain,
            io.TextIOWrapper(plain, encoding="utf-8-sig", newline="\n") as file,
        ):
            yield file
    except UnicodeDecodeError:
        raise DataInvalid(
            f"{path.name} is to be read as UTF-8, and is not. Save the file as UTF-8."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataInvalid(
            f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}. "
            "Name or fetch the file again."
        ) from None
