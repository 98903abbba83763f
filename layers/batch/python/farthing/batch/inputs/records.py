"""Where the records of a text file end, fast enough for files of millions.

A record ends at a newline; in CSV not at one inside of quotes. A quote opens a field only where
the field begins, as in Python's csv: elsewhere it is text (5" screens), however that differs from
counting quotes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from farthing.batch.errors import InputInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from farthing.batch.inputs.compression import Content

    Offsets = NDArray[np.int64]

BLOCK_BYTES: Final = 1 << 20
RECORD_BYTES_MAX: Final = 4 << 20
NEWLINE: Final = 10
QUOTE: Final = 34
COMMA: Final = 44
# Any character after which a quote is text.
TEXT: Final = 0
# What may stand before a quote that opens: a field's start, or the first quote of a doubled one.
BEFORE_OPENING: Final = np.isin(np.arange(256), [NEWLINE, COMMA, QUOTE])


class Piece(NamedTuple):
    """Whole records: `number` is the first one's, from 1 on, blank ones counted.

    Record i is `content[starts[i]:ends[i]]`, with its newline; `offset` is where `content` stands
    in the unpacked file. A record above `RECORD_BYTES_MAX` is a piece by itself, without content.
    """

    number: int
    offset: int
    content: bytes
    starts: Offsets
    ends: Offsets

    @property
    def too_long(self) -> bool:
        return not self.content

    @property
    def after(self) -> tuple[int, int]:
        """The number and the offset of what follows."""
        return self.number + len(self.ends), self.offset + int(self.ends[-1])

    def records(self, rows: Offsets) -> list[bytes]:
        """Some of its records, by their places."""
        bounds = zip(self.starts[rows].tolist(), self.ends[rows].tolist(), strict=True)
        return [self.content[start:end] for start, end in bounds]

    def rows(self, blanks: bytes) -> Offsets:
        """Which records are rows: all but those made of the characters `blanks`."""
        if self.too_long:
            return np.zeros(1, np.int64)
        is_blank = np.zeros(256, np.bool_)
        is_blank[list(blanks)] = True
        data = np.frombuffer(self.content, np.uint8)
        kept = np.ones(len(self.starts), np.bool_)
        for index in np.flatnonzero(is_blank[data[self.starts]]).tolist():
            kept[index] = bool(self.content[self.starts[index] : self.ends[index]].strip(blanks))
        return np.flatnonzero(kept)


class Quotes:
    """Which newlines of a file, given block by block, stand outside of quotes."""

    def __init__(self) -> None:
        self.open_bytes = 0
        self.is_open = False
        self._previous = NEWLINE

    def newlines(self, block: bytes) -> Offsets:
        """Their places in the block. `open_bytes` is then how long a quote has been open."""
        data = np.frombuffer(block, np.uint8)
        newlines = np.flatnonzero(data == NEWLINE)
        if QUOTE not in block:
            self._previous = block[-1]
            self.open_bytes += len(block) * self.is_open
            return newlines[:0] if self.is_open else newlines
        quotes = self._acting(data)
        inside = (np.searchsorted(quotes, newlines) + self.is_open) % 2
        if len(quotes):
            self.is_open = bool((len(quotes) + self.is_open) % 2)
            self.open_bytes = (len(block) - int(quotes[-1])) * self.is_open
        # A last quote that is text does not make the next one its second half.
        acts = len(quotes) > 0 and quotes[-1] == len(block) - 1
        self._previous = TEXT if block[-1] == QUOTE and not acts else block[-1]
        outside: Offsets = newlines[inside == 0]
        return outside

    def _acting(self, data: NDArray[np.uint8]) -> Offsets:
        """The quotes that open and close in turn; the others are text."""
        quotes = np.flatnonzero(data == QUOTE)
        before: NDArray[np.uint8] = data[quotes - 1]
        if quotes[0] == 0:
            before[0] = self._previous
        if BEFORE_OPENING[before[int(self.is_open) :: 2]].all():
            return quotes
        acting = []
        is_open, closed_at = self.is_open, -1 if self._previous == QUOTE else -2
        for at, preceded_by in zip(quotes.tolist(), before.tolist(), strict=True):
            if is_open:
                is_open, closed_at = False, at
            elif preceded_by in {NEWLINE, COMMA} or closed_at == at - 1:
                is_open = True
            else:
                continue
            acting.append(at)
        return np.array(acting, np.int64)


def pieces(
    content: Content, file: str, number: int, *, end: int | None = None, quoted: bool
) -> Iterator[Piece]:
    """The records from the content's position to the byte `end`, or to the end of the file.

    A few megabytes are held at a time, however long a record is.

    :param number: of the first record.
    :raises InputInvalid: when reading to the end of the file, for a quote that is never closed.
    """
    quotes = Quotes() if quoted else None
    offset, held, held_bytes = content.position, list[bytes](), 0
    while block := _block(content, end):
        ends = 1 + (quotes.newlines(block) if quotes else _newlines(block))
        if quotes and end is None and quotes.open_bytes > RECORD_BYTES_MAX:
            raise _never_closed(file, number)
        if len(ends) and held_bytes + ends[0] > RECORD_BYTES_MAX:
            long = _piece(number, offset, b"", held_bytes + ends[:1])
            yield long
            number, offset = long.after
            block, ends, held, held_bytes = block[ends[0] :], ends[1:] - ends[0], [], 0
        if len(ends):
            whole = b"".join([*held, block[: ends[-1]]])
            piece = _piece(number, offset, whole, held_bytes + ends)
            yield piece
            number, offset = piece.after
            block, held, held_bytes = block[ends[-1] :], [], 0
        held_bytes += len(block)
        held = [*held, block] if held_bytes <= RECORD_BYTES_MAX else []
    if quotes and end is None and quotes.is_open:
        raise _never_closed(file, number)
    if held_bytes:
        yield _piece(number, offset, b"".join(held), np.array([held_bytes]))


def _block(content: Content, end: int | None) -> bytes:
    return content.read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - content.position))


def _newlines(block: bytes) -> Offsets:
    return np.flatnonzero(np.frombuffer(block, np.uint8) == NEWLINE)


def _piece(number: int, offset: int, content: bytes, ends: Offsets) -> Piece:
    return Piece(number, offset, content, np.concatenate(([0], ends[:-1])), ends)


def _never_closed(file: str, number: int) -> InputInvalid:
    return InputInvalid(
        f"{file} is read as CSV, and a quote in its row {number} is not closed within "
        f"{RECORD_BYTES_MAX >> 20} MB or before the file ends. Close it; a quote that is text is "
        "written twice."
    )
