"""CSV, whose fields may stand in quotes, and TSV, in which a quote is text."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Final

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import check_columns
from farthing.batch.inputs.records import RECORD_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farthing.batch.inputs.rows import Window
    from farthing.batch.job import Job

NOT_UTF8: Final = "the row is not UTF-8"
# A field as Python's csv reads it: what follows its closing quote is text. The module itself
# refuses fields above 128 KB, unless the whole process allows them, and carriage returns in text.
FIELD: Final = re.compile(r'(?:"((?:[^"]++|"")*+)")?+([^,]*)(,?)')


class Delimited:
    """The columns of a job in the records of a file.

    :raises InputInvalid: for a header that lacks a column, has it twice or is no UTF-8.
    """

    blanks = b"\r\n"

    def __init__(self, file: str, header: bytes, job: Job, *, quoted: bool) -> None:
        self._quoted = quoted
        names = _header(file, header, quoted=quoted)
        wanted = [name for name in (job.text_column, job.id_column) if name is not None]
        check_columns(file, names, wanted)
        self._width = len(names)
        self._text = names.index(job.text_column)
        self._id = None if job.id_column is None else names.index(job.id_column)

    def parse(self, numbers: Sequence[int], records: Sequence[bytes], window: Window) -> None:
        """Adds the records' rows to the window."""
        lines = _decoded(records)
        rows = self._rows([line for line in lines if line is not None])
        for number, line in zip(numbers, lines, strict=True):
            if line is None:
                window.reject(number, None, NOT_UTF8)
                continue
            row = next(rows)
            if len(row) != self._width:
                reason = f"the row has {len(row)} fields and the header {self._width}"
                window.reject(number, None, reason)
            else:
                id_ = "" if self._id is None else row[self._id]
                window.add(number, id_, row[self._text])

    def _rows(self, lines: list[str]) -> Iterator[list[str]]:
        return iter(_split(lines) if self._quoted else [_tabbed(line) for line in lines])


def _header(file: str, header: bytes, *, quoted: bool) -> list[str]:
    (line,) = _decoded([header])
    if line == "":
        raise InputInvalid(
            f"{file} has a header longer than {RECORD_BYTES_MAX >> 20} MB. Write the names of the "
            "columns in its first row, and the rows below."
        )
    if line is None or "\0" in line:
        raise InputInvalid(
            f"{file} is to be read as UTF-8, and its header is not. Save the file as UTF-8."
        )
    if "\r" in line.rstrip("\r\n"):
        raise InputInvalid(
            f"{file} has lines that end in a carriage return alone. Save the file with newlines."
        )
    return _split([line])[0] if quoted else _tabbed(line)


def _decoded(records: Sequence[bytes]) -> Sequence[str | None]:
    try:
        return [record.decode() for record in records]
    except UnicodeDecodeError:
        return [_text(record) for record in records]


def _text(record: bytes) -> str | None:
    try:
        return record.decode()
    except UnicodeDecodeError:
        return None


def _tabbed(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _split(lines: list[str]) -> list[list[str]]:
    """The fields of each line; a line may have newlines in its quotes."""
    try:
        return list(csv.reader(lines))
    except csv.Error:
        return [_fields(line) for line in lines]


def _fields(line: str) -> list[str]:
    line, found, place, more = line.rstrip("\r\n"), [], 0, True
    while more and (field := FIELD.match(line, place)):
        found.append((field[1] or "").replace('""', '"') + field[2])
        place, more = field.end(), bool(field[3])
    return found
