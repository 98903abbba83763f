"""The columns that searches are narrowed by: words as numbers of a dictionary, numbers as such."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from farthing.search.segments.arrays import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.search.filters import Interval, Where

# The code of a row that has no word; dictionaries count from 1.
NO_WORD = 0

Value = str | float | None


class Columns:
    """The columns of one segment, in the order of the manifest's filters."""

    def __init__(self, folder: Path, kinds: Sequence[str], rows: int) -> None:
        self._rows = rows
        self._columns = [
            Keywords(folder, place) if kind == "keyword" else Numbers(folder, place)
            for place, kind in enumerate(kinds)
        ]

    def mask(self, where: Where) -> NDArray[np.bool_]:
        """bool[rows]: which rows the conditions let through."""
        allowed = np.ones(self._rows, np.bool_)
        for condition in where.conditions:
            column = self._columns[condition.column]
            if isinstance(column, Keywords):
                allowed &= column.among(condition.words)
            else:
                allowed &= column.within(condition.intervals)
        return allowed

    def codes_of(self, place: int, words: Sequence[str]) -> list[int]:
        """The numbers of those words that the column has, in any order."""
        column = self._columns[place]
        return column.codes_of(words) if isinstance(column, Keywords) else []


class Keywords:
    """One column of words."""

    def __init__(self, folder: Path, place: int) -> None:
        self._codes: NDArray[np.unsignedinteger] = mapped(codes_file(folder, place))
        self._file = words_file(folder, place)

    @cached_property
    def _words(self) -> list[str]:
        return msgspec.json.decode(self._file.read_bytes(), type=list[str])

    def among(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """bool[rows]: which rows have one of the words."""
        wanted = np.zeros(len(self._words) + 1, np.bool_)
        wanted[self.codes_of(words)] = True
        chosen: NDArray[np.bool_] = wanted[self._codes]
        return chosen

    def codes_of(self, words: Sequence[str]) -> list[int]:
        """The numbers of those words that the column has."""
        codes = []
        for word in words:
            place = bisect_left(self._words, word)
            if place < len(self._words) and self._words[place] == word:
                codes.append(place + 1)
        return codes


class Numbers:
    """One column of numbers; NaN where there is none."""

    def __init__(self, folder: Path, place: int) -> None:
        self._values: NDArray[np.float64] = mapped(numbers_file(folder, place))

    def within(self, intervals: Sequence[Interval]) -> NDArray[np.bool_]:
        allowed = np.zeros(len(self._values), np.bool_)
        for low, high, with_low, with_high in intervals:
            above = self._values >= low if with_low else self._values > low
            below = self._values <= high if with_high else self._values < high
            allowed |= above & below
        return allowed


def codes_file(folder: Path, place: int) -> Path:
    return folder / f"filter{place}-codes.npy"


def words_file(folder: Path, place: int) -> Path:
    return folder / f"filter{place}-words.json"


def numbers_file(folder: Path, place: int) -> Path:
    return folder / f"filter{place}-numbers.npy"


class ColumnWriter(Protocol):
    """Takes a column's values in the order of documents, and writes it in that of rows."""

    def add(self, value: Value, /) -> None:
        """The next document's value."""

    def finish(self, folder: Path, place: int, order: NDArray[np.int64], /) -> list[Any]:
        """What the lexical index is to filter row by row: codes or numbers, None for none."""


class KeywordsWriter:
    """Words become numbers as they come; the dictionary is sorted in the end."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}
        self._codes = array("I")

    def add(self, value: Value, /) -> None:
        word = value if isinstance(value, str) else None
        code = NO_WORD if word is None else self._words.setdefault(word, len(self._words) + 1)
        self._codes.append(code)

    def finish(self, folder: Path, place: int, order: NDArray[np.int64], /) -> list[int | None]:
        words = sorted(self._words)
        final = np.zeros(len(words) + 1, np.min_scalar_type(len(words)))
        final[[self._words[word] for word in words]] = np.arange(1, len(words) + 1)
        codes = final[np.frombuffer(self._codes, np.uintc)][order]
        np.save(codes_file(folder, place), codes)
        words_file(folder, place).write_bytes(msgspec.json.encode(words))
        return [code or None for code in codes.tolist()]


class NumbersWriter:
    """Numbers that are none or have no end are left out."""

    def __init__(self) -> None:
        self._values = array("d")

    def add(self, value: Value, /) -> None:
        known = value is not None and not isinstance(value, str) and math.isfinite(value)
        # Minus zero becomes zero, so that both are found by either.
        self._values.append(float(value) + 0.0 if known else math.nan)  # type: ignore[arg-type]

    def finish(self, folder: Path, place: int, order: NDArray[np.int64], /) -> list[float | None]:
        values = np.frombuffer(self._values, np.float64)[order]
        np.save(numbers_file(folder, place), values)
        return [None if math.isnan(value) else value for value in values.tolist()]


def writer(kind: str) -> ColumnWriter:
    """A writer for a filter of this kind."""
    return KeywordsWriter() if kind == "keyword" else NumbersWriter()
