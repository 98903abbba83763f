"""A user's file as texts and labels: the format is told by the name's ending."""

from __future__ import annotations

import hashlib
from itertools import islice, repeat
from typing import TYPE_CHECKING

import msgspec

from farthing.forge.data.labelled import LabelledSet
from farthing.tables.chunk import DataInvalid
from farthing.tables.files import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.tables.chunk import Chunk

ROWS_NAMED = 5


class FileFacts(msgspec.Struct, frozen=True):
    """Which file was read: its name as the recipe has it, and what its bytes were."""

    file: str
    bytes: int
    sha256: str


def facts(path: Path, name: str) -> FileFacts:
    """Size and digest of the file at `path`; it is not held in memory."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(name, path.stat().st_size, digest)


def read_labelled(path: Path, text: str, label: str, rows_max: int = 0) -> LabelledSet:
    """The rows of a file that have a text, in file order; the first `rows_max` of them, 0 for all.

    :raises DataInvalid: if a row has a text and no label, naming the first such rows.
    """
    filled = (row for row in rows(path, text, label) if row[0])
    kept = list(islice(filled, rows_max or None))
    return LabelledSet(tuple(text for text, _ in kept), tuple(label for _, label in kept))


def read_texts(path: Path, text: str, rows_max: int = 0) -> tuple[str, ...]:
    """The texts of a file that are not blank, in file order; the first `rows_max`, 0 for all."""
    return read_labelled(path, text, "", rows_max).texts


def rows(path: Path, text: str, label: str) -> Iterator[tuple[str, str]]:
    """Text and label of every row; a blank text is "", and so is every label without `label`.

    :raises DataInvalid: if a row has a text and no label, naming the first such rows.
    """
    if text == label:
        raise DataInvalid(
            f"{path.name} was asked for text and label in the same column {text!r}. Name two."
        )
    for chunk in chunks(path, (text, label) if label else (text,)):
        texts = ["" if _blank(value) else value or "" for value in chunk.columns[0]]
        if not label:
            yield from zip(texts, repeat(""))
            continue
        labels = [value or "" for value in chunk.columns[1]]
        _refuse_blank_labels(chunk, path.name, label)
        yield from zip(texts, labels, strict=True)


def _refuse_blank_labels(chunk: Chunk, file: str, label: str) -> None:
    texts, labels = chunk.columns
    blank = [
        str(chunk.first_row + at)
        for at, (row_text, row_label) in enumerate(zip(texts, labels, strict=True))
        if _blank(row_label) and not _blank(row_text)
    ]
    if blank:
        more = f" and {len(blank) - ROWS_NAMED} more near them" if len(blank) > ROWS_NAMED else ""
        raise DataInvalid(
            f"{file} has no label in its column {label!r} in the rows "
            f"{', '.join(blank[:ROWS_NAMED])}{more}. Label these rows, or leave them out."
        )


def _blank(value: str | None) -> bool:
    return value is None or not value.strip()
