"""The rows of a window as they are scored, and those that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from farthing.batch.job import Job

# Long texts end a window before its rows do, or 4,096 of the longest would take gigabytes.
WINDOW_CHARS_MAX: Final = 8 << 20


class Rejected(msgspec.Struct):
    """A row that cannot be scored, and why: never what is in it.

    `row` is its number as the user sees it; `id` is null where the row has none that can be read.
    """

    file: str
    row: int
    id: str | None
    reason: str


class Rows(NamedTuple):
    """`texts[r]` is to be scored under `ids[r]` and is row `numbers[r]` of its file.

    Without an id column a row's id is its number; where a row leaves its id blank it is "".
    """

    numbers: list[int]
    ids: list[str]
    texts: list[str]
    rejected: list[Rejected]


class Window:
    """Rows of a job's file, sorted into those to be scored and the rejected, up to a bound."""

    def __init__(self, job: Job, file: str, rows_max: int) -> None:
        self._file = file
        self._numbered = job.id_column is None
        self._chars_max = job.input_max_chars
        self._rows_max = rows_max
        self._renew()

    @property
    def room(self) -> int:
        """How many rows it still takes; 0 where its texts are long and it should be taken out."""
        held = len(self._rows.numbers) + len(self._rows.rejected)
        return 0 if self._chars >= WINDOW_CHARS_MAX else self._rows_max - held

    def add(self, number: int, id_: str, text: str) -> None:
        """A row that could be read; rejects it where its text is blank or too long."""
        if len(text) > self._chars_max:
            reason = f"the text has {len(text)} characters and may have {self._chars_max}"
            self.reject(number, id_, reason)
        elif not text or text.isspace():
            self.reject(number, id_, "the text is blank")
        else:
            self._chars += len(text)
            self._rows.numbers.append(number)
            self._rows.ids.append(str(number) if self._numbered else id_)
            self._rows.texts.append(text)

    def reject(self, number: int, id_: str | None, reason: str) -> None:
        """A row that cannot be scored."""
        known = str(number) if self._numbered else id_
        self._rows.rejected.append(Rejected(self._file, number, known, reason))

    def take(self) -> Rows:
        """The rows so far; the window is empty again."""
        rows = self._rows
        self._renew()
        return rows

    def _renew(self) -> None:
        self._rows = Rows([], [], [], [])
        self._chars = 0
