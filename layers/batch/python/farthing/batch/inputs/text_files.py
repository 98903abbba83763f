"""A file of text: one pass over it for the plan, and the rows of its shards."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.compression import Content
from farthing.batch.inputs.delimited import Delimited
from farthing.batch.inputs.formats import format_of, name_of
from farthing.batch.inputs.json_lines import JsonLines
from farthing.batch.inputs.placed import Placed
from farthing.batch.inputs.records import RECORD_BYTES_MAX, pieces
from farthing.batch.inputs.rows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.batch.inputs.records import Piece
    from farthing.batch.inputs.rows import Rows
    from farthing.batch.job import Input, Job, Shard

OTHER_UNICODE: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
TOO_LONG: Final = f"the row is longer than {RECORD_BYTES_MAX >> 20} MB"


class TextFile:
    """CSV, TSV or JSON lines, packed or not; it keeps its place from shard to shard.

    :raises InputInvalid: where it has no records, or the first is not as the job needs it.
    """

    def __init__(self, given: Input, job: Job) -> None:
        self._name, self._job = name_of(given.uri), job
        self._form = format_of(self._name).form
        self._quoted = self._form == "csv"
        self._content = Content(given)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def source_position(self) -> int:
        """How many bytes of the file as it lies have been read."""
        return self._content.source_position

    def placed(self) -> Iterator[Placed]:
        """Where all of its rows stand."""
        number, offset = self._begins
        for piece in self._pieces(number, offset):
            rows = piece.rows(self._parser.blanks)
            starts, ends = piece.starts[rows], piece.ends[rows]
            yield Placed(starts + piece.offset, ends + piece.offset, rows + piece.number)

    def rows(self, shard: Shard, window_rows: int) -> Iterator[Rows]:
        """A shard's rows, up to `window_rows` at a time."""
        window = Window(self._job, self._name, window_rows)
        for piece in self._pieces(shard.first_row, shard.start, shard.end):
            rows = piece.rows(self._parser.blanks)
            numbers, records, at = (rows + piece.number).tolist(), piece.records(rows), 0
            while at < len(numbers):
                if window.room <= 0:
                    yield window.take()
                until = at + window.room
                if piece.too_long:
                    window.reject(numbers[at], None, TOO_LONG)
                else:
                    self._parser.parse(numbers[at:until], records[at:until], window)
                at = until
        yield window.take()

    def close(self) -> None:
        self._content.close()

    def _open(self) -> None:
        begins = self._content.read(4)
        if begins.startswith(OTHER_UNICODE):
            raise InputInvalid(
                f"{self._name} is to be read as UTF-8, and is UTF-16 or UTF-32. Save it as UTF-8."
            )
        offset = len(codecs.BOM_UTF8) if begins.startswith(codecs.BOM_UTF8) else 0
        first, number, after = self._first(offset)
        if self._form == "jsonl":
            self._parser: Delimited | JsonLines = JsonLines(self._name, first, self._job)
            self._begins = (1, offset)
        else:
            self._parser = Delimited(self._name, first, self._job, quoted=self._quoted)
            self._begins = (number + 1, after)

    def _first(self, offset: int) -> tuple[bytes, int, int]:
        """The first record that is not blank, its number and where it ends."""
        blanks = JsonLines.blanks if self._form == "jsonl" else Delimited.blanks
        for piece in self._pieces(1, offset):
            for row in piece.rows(blanks)[:1]:
                first = piece.content[piece.starts[row] : piece.ends[row]]
                return first, piece.number + int(row), piece.offset + int(piece.ends[row])
        raise InputInvalid(
            f"{self._name} was asked for its rows and has none. Give a file with rows."
        )

    def _pieces(self, number: int, offset: int, end: int | None = None) -> Iterator[Piece]:
        self._content.skip_to(offset)
        return pieces(self._content, self._name, number, end=end, quoted=self._quoted)
