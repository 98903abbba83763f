"""A segment of an index, open for searching: memory-mapped, never written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.search.errors import IndexCorrupt, IndexMissing
from farthing.search.manifest import SEGMENT_FILE, decode_segment
from farthing.search.segments import documents
from farthing.search.segments.columns import Columns
from farthing.search.segments.forward import ForwardIndex
from farthing.search.segments.lexical import Lexical
from farthing.search.segments.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.inference.bundle import FileDigest
    from farthing.search.filters import Where
    from farthing.search.manifest import IndexManifest, SegmentEntry, SegmentFacts
    from farthing.search.segments.documents import Document
    from farthing.search.segments.forward import Forward
    from farthing.search.segments.groups import Int8s

    Rows = NDArray[np.int64]

SEGMENTS_FOLDER = "segments"
# Documents held at once while all are read.
ROWS_AT_ONCE = 1024
DELETIONS_FOLDER = "deletions"


class Segment:
    """Up to 131,072 documents of an index, by row: 0 to `rows` - 1."""

    def __init__(
        self,
        folder: Path,
        facts: SegmentFacts,
        manifest: IndexManifest,
        live: NDArray[np.bool_] | None,
    ) -> None:
        self.folder = folder
        self.facts = facts
        self.rows = facts.rows
        self.live = live
        self._fields = [field.name for field in manifest.fields]
        self._vectors = Vectors(folder, facts.probes)
        self._forward = ForwardIndex(folder, len(manifest.fields))
        self._columns = Columns(folder, [column.kind for column in manifest.filters], facts.rows)
        self._lexical = Lexical(folder, manifest.fields, manifest.filters, self._columns)

    @classmethod
    def open(
        cls, folder: Path, entry: SegmentEntry, manifest: IndexManifest, *, verify: bool = True
    ) -> Segment:
        """The segment that `entry` describes, of the index in `folder`.

        Raises `IndexMissing` for an absent file, `IndexCorrupt` for one of another size and, with
        `verify`, of other content. Without it, `verify_files` is to be called before answers leave.
        """
        home = folder / SEGMENTS_FOLDER / entry.id
        raw = _read(home / SEGMENT_FILE)
        facts = decode_segment(raw, str(home / SEGMENT_FILE), entry.digest)
        for name, digest in facts.files.items():
            _check_size(home / name, digest)
        if verify:
            verify_files(home, facts)
        return cls(home, facts, manifest, _live(folder, entry))

    def recall_words(self, terms: Sequence[str], limit: int, where: Where | None = None) -> Rows:
        """Up to `limit` live rows with any of the terms, best first by BM25."""
        if not terms:
            return np.empty(0, np.int64)
        wanted = limit
        while True:
            found = self._lexical.search(terms, min(wanted, self.rows), where)
            if self.live is None:
                return found
            alive = found[self.live[found]]
            if len(alive) >= limit or len(found) < wanted:
                return alive[:limit]
            wanted *= 2

    def recall_near(
        self,
        query: Int8s,
        limit: int,
        mask: NDArray[np.bool_] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> Rows:
        """Up to `limit` live rows nearest to int8[dims], best first, of those that `mask` allows.

        With a mask all of the nearest are found; without one too, except in segments so large
        that they have groups: 95 of the nearest 100 product titles were found in those. `groups`
        are those to look into; left out, the nearest `probes`.
        """
        return self._vectors.nearest(query, limit, mask, self.live, groups)

    @property
    def probes(self) -> int:
        """How many groups a search of this segment alone looks into."""
        return self._vectors.probes

    def towards(self, query: Int8s) -> NDArray[np.float32]:
        """float32[groups]: how near each group's middle is to int8[dims], comparable among
        segments.
        """
        return self._vectors.towards(query)

    def cosines(self, query: Int8s, rows: Rows) -> NDArray[np.float32]:
        """float32[n] between int8[dims] and the rows, -1 to 1."""
        return self._vectors.cosines(query, rows)

    def vectors(self, rows: Rows) -> NDArray[np.float32]:
        """float32[n, dims] of length 1."""
        return self._vectors.vectors(rows)

    def pairs(self, rows: Rows) -> NDArray[np.float32]:
        """float32[n, n]: the cosines among the rows."""
        return self._vectors.pairs(rows)

    def forward(self, rows: Rows) -> Forward:
        """The numbers of the terms of the rows, in the order asked for."""
        return self._forward.of(rows)

    def document_counts(self, terms: Sequence[str], field: int) -> NDArray[np.int64]:
        """int64[terms]: in how many rows, deleted ones included, the field has the term."""
        counts = (self._lexical.document_count(term, field) for term in terms)
        return np.fromiter(counts, np.int64, len(terms))

    def documents(self, rows: Rows) -> list[dict[str, Any]]:
        """What a hit shows of each row."""
        return [documents.decode_stored(raw) for raw in self._records(rows)]

    def sources(self, rows: Rows) -> Iterator[Document]:
        """Each row's document as it was added, to be added to another segment."""
        return (documents.decode(raw, self._fields) for raw in self._records(rows))

    def alive(self) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Every document that was not deleted, and its vector."""
        live = np.arange(self.rows) if self.live is None else np.flatnonzero(self.live)
        for start in range(0, len(live), ROWS_AT_ONCE):
            rows = live[start : start + ROWS_AT_ONCE]
            yield from zip(self.sources(rows), self.vectors(rows), strict=True)

    def ids(self, rows: Rows) -> list[str]:
        """The id of each row."""
        return [documents.decode_id(raw) for raw in self._records(rows)]

    def rows_of(self, ids: Sequence[str]) -> dict[str, int]:
        """The live row of each id that has one; the last where there are several."""
        found = {}
        for id_ in ids:
            rows = [row for row in self._lexical.rows_of(id_) if self._is_live(row)]
            if rows:
                found[id_] = rows[-1]
        return found

    def mask(self, where: Where) -> NDArray[np.bool_]:
        """bool[rows]: which rows the conditions let through, deleted ones included."""
        return self._columns.mask(where)

    def _records(self, rows: Rows) -> Iterator[bytes]:
        return self._lexical.records(rows.tolist())

    def _is_live(self, row: int) -> bool:
        return self.live is None or bool(self.live[row])


def verify_files(folder: Path, facts: SegmentFacts) -> None:
    """Raises `IndexCorrupt` or `IndexMissing`, naming the first file that is not as described."""
    for name, expected in facts.files.items():
        file = folder / name
        _check_size(file, expected)
        with file.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
        if actual != expected.sha256:
            raise corrupt_file(file, f"has sha256 {actual}", expected.sha256)


def encode_deletions(deleted: NDArray[np.bool_]) -> bytes:
    """The file that says which of a segment's rows are no more, from bool[rows]."""
    return np.packbits(deleted).tobytes()


def _live(folder: Path, entry: SegmentEntry) -> NDArray[np.bool_] | None:
    if entry.deletions is None or entry.deletions_digest is None:
        return None
    file = folder / DELETIONS_FOLDER / entry.deletions
    raw = _read(file)
    actual = hashlib.sha256(raw).hexdigest()
    if actual != entry.deletions_digest.sha256 or len(raw) * 8 < entry.rows:
        raise corrupt_file(file, f"has sha256 {actual}", entry.deletions_digest.sha256)
    live: NDArray[np.bool_] = np.unpackbits(np.frombuffer(raw, np.uint8), count=entry.rows) == 0
    return live


def _check_size(file: Path, expected: FileDigest) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise _missing(file, error) from None
    if size != expected.bytes:
        raise corrupt_file(file, f"has {size} bytes", f"{expected.bytes} bytes")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _missing(file, error) from None


def _missing(file: Path, error: OSError) -> IndexMissing:
    return IndexMissing(
        f"Index file {file} cannot be read ({error.strerror}). "
        "Restore the file, or build the index again."
    )


def corrupt_file(file: Path, found: str, stated: str) -> IndexCorrupt:
    """The error for a file that is not as stated."""
    return IndexCorrupt(
        f"Index file {file} {found}; the index states {stated}. "
        "Restore the file, or build the index again."
    )
