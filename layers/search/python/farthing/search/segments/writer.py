"""Documents and their vectors to a segment, in bounded memory.

Documents wait in a scratch file beside the target, vectors as INT8 in another. When all are there,
they are written group by group, and one rename makes the folder a segment.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from farthing.inference.bundle import FileDigest
from farthing.search.analysis import Analyzer
from farthing.search.errors import CatalogueInvalid
from farthing.search.manifest import FORMAT, SEGMENT_FILE, SegmentEntry, SegmentFacts
from farthing.search.segments import columns, documents, vectors
from farthing.search.segments.forward import ForwardWriter
from farthing.search.segments.groups import quantise
from farthing.search.segments.lexical import LexicalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.search.manifest import Analysis, Field, Filter
    from farthing.search.segments.documents import Document

SEGMENT_ROWS_MAX = 131_072
# Long documents fill a segment before their number does: these bound memory, that of the lexical
# index above all, which is 12 bytes a term of product titles and 120 where no two are the same.
SEGMENT_TERMS_MAX = 8_000_000
SEGMENT_BYTES_MAX = 256_000_000
ID_BYTES_MAX = 512
# Tries to put a segment in its place, while others put the same one there.
MOVES_MAX = 8
VECTORS_AT_ONCE = 1024


class Waiting(msgspec.Struct, array_like=True):
    """A document in the scratch file: its terms joined by spaces for each field, its record."""

    id: str
    terms: tuple[str, ...]
    record: bytes


class SegmentWriter:
    """Writes one segment into `folder`, which is an index's folder of segments.

    Whoever adds asks `is_full` first, and begins another segment then. A segment that is not
    finished leaves nothing once the writer is closed.
    """

    def __init__(
        self,
        folder: Path,
        fields: Sequence[Field],
        filters: Sequence[Filter],
        analysis: Analysis,
        dims: int,
    ) -> None:
        self._folder = folder
        self._filters = filters
        self._names = [field.name for field in fields]
        self._dims = dims
        self._analyzer = Analyzer(analysis)
        self._columns = [columns.writer(column.kind) for column in filters]
        self._scratch = folder / f".unfinished-{os.urandom(8).hex()}"
        self._scratch.mkdir()
        self._documents = (self._scratch / "documents").open("wb")
        self._vectors = (self._scratch / "vectors").open("wb")
        self._waiting: list[NDArray[np.float32]] = []
        self._ends = array("Q")
        self._terms = 0
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def rows(self) -> int:
        """How many documents were added."""
        return len(self._ends)

    @property
    def is_full(self) -> bool:
        """True when the segment should take no further document."""
        return (
            self.rows >= SEGMENT_ROWS_MAX
            or self._terms >= SEGMENT_TERMS_MAX
            or self._bytes >= SEGMENT_BYTES_MAX
        )

    def add(self, document: Document, vector: NDArray[np.float32]) -> None:
        """Adds a document and its float32[dims].

        Raises `CatalogueInvalid` for an id that is empty or longer than `ID_BYTES_MAX`.
        """
        if not 1 <= len(document.id.encode()) <= ID_BYTES_MAX:
            raise CatalogueInvalid(
                f"Document {self.rows + 1} of a segment has an id of {len(document.id.encode())} "
                f"bytes; 1 to {ID_BYTES_MAX} are possible. Choose another column for --id."
            )
        terms = [self._analyzer.terms(text) for text in document.texts]
        self._terms += sum(map(len, terms))
        joined = tuple(" ".join(words) for words in terms)
        record = documents.encode(document, self._names)
        raw = msgspec.msgpack.encode(Waiting(document.id, joined, record))
        self._documents.write(raw)
        self._bytes += len(raw)
        self._ends.append(self._bytes)
        for column, value in zip(self._columns, document.filters, strict=True):
            column.add(value)
        self._waiting.append(vector)
        if len(self._waiting) >= VECTORS_AT_ONCE:
            self._write_vectors()

    def finish(self) -> SegmentEntry:
        """The segment's entry for the manifest, when all is on disk under a name of its content.

        Raises `CatalogueInvalid` where nothing was added.
        """
        if not self.rows:
            raise CatalogueInvalid(
                "There are no documents to index. Give a file with at least one row."
            )
        self._write_vectors()
        self._documents.close()
        self._vectors.close()
        built = self._scratch / "segment"
        built.mkdir()
        grouping = self._group(built)
        self._write_documents(built, grouping.order)
        entry = self._seal(built, grouping)
        self.close()
        return entry

    def close(self) -> None:
        """Removes what is not finished."""
        self._documents.close()
        self._vectors.close()
        # Imported here: who only searches imports this module as well, and 3 ms are worth it.
        import shutil

        shutil.rmtree(self._scratch, ignore_errors=True)

    def _write_vectors(self) -> None:
        if self._waiting:
            self._vectors.write(quantise(np.stack(self._waiting)).tobytes())
            self._waiting.clear()

    def _group(self, built: Path) -> vectors.Grouping:
        # In a function of its own, so that what is mapped here is gone when documents are written.
        raw = np.memmap(self._scratch / "vectors", np.int8, "r", shape=(self.rows, self._dims))
        return vectors.write(built, raw)

    def _write_documents(self, built: Path, order: NDArray[np.int64]) -> None:
        filled = [column.finish(built, place, order) for place, column in enumerate(self._columns)]
        scratch = self._scratch / "lexical"
        scratch.mkdir()
        lexical = LexicalWriter(scratch, len(self._names), self._filters)
        forward = ForwardWriter()
        for row, waiting in enumerate(self._reread(order)):
            values = [column[row] for column in filled]
            lexical.add(waiting.id, waiting.terms, values, waiting.record)
            for terms in waiting.terms:
                forward.add(terms.split(" ") if terms else [])
        lexical.finish(built)
        forward.finish(built)

    def _reread(self, order: NDArray[np.int64]) -> Iterator[Waiting]:
        decoder = msgspec.msgpack.Decoder(Waiting)
        with (
            (self._scratch / "documents").open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for place in order.tolist():
                start = self._ends[place - 1] if place else 0
                yield decoder.decode(content[start : self._ends[place]])

    def _move(self, built: Path, target: Path) -> None:
        """Puts the folder where segments are.

        The same documents may be there already: perhaps because the files there were found damaged,
        perhaps from another writer a moment ago, who may be putting his aside just now.
        """
        for former in range(MOVES_MAX):
            try:
                built.rename(target)
            except OSError:
                if former == MOVES_MAX - 1:
                    raise
                with suppress(FileNotFoundError):
                    target.rename(self._scratch / f"former-{former}")
            else:
                return

    def _seal(self, built: Path, grouping: vectors.Grouping) -> SegmentEntry:
        """The folder's entry, after it was moved to where segments are."""
        files = {file.name: _digest(file) for file in sorted(built.iterdir())}
        content = "".join(f"{name} {digest.sha256}\n" for name, digest in files.items())
        id_ = hashlib.sha256(content.encode()).hexdigest()[:16]
        facts = SegmentFacts(
            format=FORMAT,
            id=id_,
            rows=self.rows,
            dims=self._dims,
            clusters=grouping.clusters,
            probes=grouping.probes,
            probe_recall=grouping.probe_recall,
            files=files,
        )
        account = msgspec.json.format(msgspec.json.encode(facts), indent=2)
        (built / SEGMENT_FILE).write_bytes(account)
        for path in (*built.iterdir(), built):
            _sync(path)
        target = self._folder / id_
        self._move(built, target)
        _sync(self._folder)
        return SegmentEntry(
            id=id_,
            digest=hashlib.sha256(account).hexdigest(),
            rows=self.rows,
            bytes=sum(digest.bytes for digest in files.values()) + len(account),
        )


def _digest(file: Path) -> FileDigest:
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return FileDigest(sha256, file.stat().st_size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
