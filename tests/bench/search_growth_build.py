"""Makes an index of so many documents out of a smaller one: copies, each a little different.

Run by `search_growth`. Arguments: the index to copy from, the folder to grow, documents. Titles
have one word of another title in place of one of theirs, and vectors lean towards that title's,
so nothing is embedded. Segments that are full already are kept.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from farthing.search.manifest import SegmentEntry
from farthing.search.publishing import publish, read_manifest
from farthing.search.segments import SEGMENT_ROWS_MAX, Document, Segment
from farthing.search.statistics import field_terms, with_segments
from farthing.search.workplace import segment_writer
from farthing.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from farthing.search.manifest import IndexManifest

FULL_FILE = "full.json"
# How far a vector leans towards that of the title a word is taken from.
BORROWED = 0.3
ROWS_AT_ONCE = 4096


class Full(msgspec.Struct):
    """A segment that later sizes begin with, and the terms of its fields."""

    entry: SegmentEntry
    terms: tuple[int, ...]


def main() -> None:
    source, target, wanted = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    manifest = read_manifest(open_storage(str(source)))
    if (source / "ranking").is_dir():
        shutil.copytree(source / "ranking", target / "ranking", dirs_exist_ok=True)
    state = target / FULL_FILE
    full = msgspec.json.decode(state.read_bytes(), type=list[Full]) if state.is_file() else []
    copies = Copies(source, manifest)
    segments = [each for each in full if each.entry.rows <= wanted]
    for start in range(0, wanted, SEGMENT_ROWS_MAX):
        number, rows = start // SEGMENT_ROWS_MAX, min(SEGMENT_ROWS_MAX, wanted - start)
        if number < len(full) and rows == SEGMENT_ROWS_MAX:
            continue
        written = write(target, manifest, copies, start, rows)
        segments = [*segments[:number], written]
        if rows == SEGMENT_ROWS_MAX:
            full.append(written)
    state.write_bytes(msgspec.json.encode(full))
    terms = [sum(field) for field in zip(*(each.terms for each in segments), strict=True)]
    entries = [each.entry for each in segments]
    publish(open_storage(str(target)), lambda _: with_segments(manifest, entries, terms))


class Copies:
    """The source's documents over and over; the first round is as they are."""

    def __init__(self, source: Path, manifest: IndexManifest) -> None:
        self._segments = [Segment.open(source, entry, manifest) for entry in manifest.segments]
        self._rows = sum(segment.rows for segment in self._segments)

    def between(self, start: int, end: int) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """The documents numbered `start` to `end` with their vectors."""
        at = start
        while at < end:
            copy, row = divmod(at, self._rows)
            segment, row = self._place(row)
            rows = np.arange(row, min(row + ROWS_AT_ONCE, segment.rows, row + end - at))
            chance = np.random.default_rng(at)
            others = chance.integers(segment.rows, size=len(rows))
            moved = segment.vectors(rows) + (copy > 0) * BORROWED * segment.vectors(others)
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            pairs = zip(segment.sources(rows), segment.sources(others), moved, strict=True)
            for document, other, vector in pairs:
                yield altered(document, other, copy), vector
            at += len(rows)

    def _place(self, row: int) -> tuple[Segment, int]:
        for segment in self._segments:
            if row < segment.rows:
                return segment, row
            row -= segment.rows
        raise IndexError(row)


def altered(document: Document, other: Document, copy: int) -> Document:
    """The document under an id of its own, one of its words taken from `other`."""
    if not copy:
        return document
    texts = []
    for mine, theirs in zip(document.texts, other.texts, strict=True):
        words, borrowed = mine.split(), theirs.split()
        if words and borrowed:
            words[copy % len(words)] = borrowed[copy % len(borrowed)]
        texts.append(" ".join(words))
    name = f"{document.id}~{copy}"
    return Document(name, tuple(texts), document.filters, {**document.stored, "doc_id": name})


def write(target: Path, manifest: IndexManifest, copies: Copies, start: int, rows: int) -> Full:
    with segment_writer(target, manifest) as writer:
        for document, vector in copies.between(start, start + rows):
            writer.add(document, vector)
        entry = writer.finish()
    return Full(entry, field_terms(Segment.open(target, entry, manifest)))


main()
