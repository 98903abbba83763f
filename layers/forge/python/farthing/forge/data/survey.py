"""A file read once without keeping its texts: 16 bytes a row, enough to choose rows by."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from farthing.forge.data import files
from farthing.forge.data.labelled import LabelledSet
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]
Draws = npt.NDArray[np.uint32]
Labels = npt.NDArray[np.int32]

# A longer text is told of: few models read as much.
LONG_CHARS = 1000
LABELS_MAX = 10_000
CHUNK_ROWS = 65_536
NO_TEXT = -1
DIGEST = np.dtype([("key", ">u8"), ("draw", ">u4")])


@dataclass(frozen=True)
class Survey:
    """What is known of every row of a file, in file order.

    `keys` are the first 64 bits and `draws` the next 32 of the sha256 of the text, lower-cased and
    its white space made single blanks: the same text has the same key in every file. `labels` are
    positions in `names`, which has the labels in order of appearance, -1 for a row without a text.
    """

    path: Path
    text: str
    label: str
    keys: Keys
    draws: Draws
    labels: Labels
    names: tuple[str, ...]
    long_texts: int

    @property
    def filled(self) -> Mask:
        """The rows that have a text."""
        filled: Mask = self.labels != NO_TEXT
        return filled

    def rows_per_label(self, rows: Mask) -> dict[str, int]:
        """How many of `rows` each label has; labels without any are left out."""
        counts = np.bincount(self.labels[rows], minlength=len(self.names))
        return {
            name: int(number) for name, number in zip(self.names, counts, strict=True) if number
        }

    def read(self, rows: Mask) -> LabelledSet:
        """Texts and labels of `rows`, read from the file again, in file order."""
        wanted = rows & self.filled
        texts: list[str] = []
        labels: list[str] = []
        names = {name: name for name in self.names}  # one string a label, not one a row
        again = files.rows(self.path, self.text, self.label)
        for (row_text, row_label), keep in zip(again, wanted, strict=False):
            if keep:
                texts.append(row_text)
                labels.append(names.get(row_label, row_label))
        return LabelledSet(tuple(texts), tuple(labels))


def survey(path: Path, text: str, label: str = "", progress: Progress | None = None) -> Survey:
    """Reads all rows of the file once, in bounded memory but for 16 bytes a row.

    :raises DataInvalid: for a file that cannot be used, or with over 10,000 different labels.
    """
    columns = _Columns()
    names: dict[str, int] = {}
    long_texts = 0
    task = progress.add_task(f"read {path.name}", total=None) if progress else None
    for number, (row_text, row_label) in enumerate(files.rows(path, text, label), 1):
        if not row_text:
            columns.add(b"", NO_TEXT)
        else:
            columns.add(digest(row_text), names.setdefault(row_label, len(names)))
            long_texts += len(row_text) > LONG_CHARS
        if number % CHUNK_ROWS == 0:
            columns.pack()
            _refuse_too_many(names, path.name, label)
            if progress and task is not None:
                progress.advance(task, CHUNK_ROWS)
    _refuse_too_many(names, path.name, label)
    keys, draws, labels = columns.joined()
    if progress and task is not None:
        progress.update(task, total=len(keys), completed=len(keys))
    return Survey(path, text, label, keys, draws, labels, tuple(names), long_texts)


def digest(text: str) -> bytes:
    """The first 12 bytes of the sha256 of the text, lower-cased, white space made single blanks."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).digest()[:12]


class _Columns:
    """Rows as they come, packed into arrays every so many."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._labels = array("i")
        self._packed: list[tuple[Keys, Draws, Labels]] = []

    def add(self, row_digest: bytes, label: int) -> None:
        self._digests += row_digest or bytes(12)
        self._labels.append(label)

    def pack(self) -> None:
        read = np.frombuffer(bytes(self._digests), dtype=DIGEST)
        labels = np.array(self._labels, dtype=np.int32)
        self._packed.append((read["key"].astype(np.uint64), read["draw"].astype(np.uint32), labels))
        self._digests.clear()
        del self._labels[:]

    def joined(self) -> tuple[Keys, Draws, Labels]:
        self.pack()
        keys, draws, labels = zip(*self._packed, strict=True)
        return np.concatenate(keys), np.concatenate(draws), np.concatenate(labels)


def _refuse_too_many(names: dict[str, int], file: str, label: str) -> None:
    if len(names) > LABELS_MAX:
        raise DataInvalid(
            f"{file} has over {LABELS_MAX:,} different labels in its column {label!r}, more than a "
            "classifier can have. Name the column of the labels."
        )
