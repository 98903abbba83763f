"""A user's file as documents: checked from the first row to the last before any is indexed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from farthing.indexing.seen import SeenIds
from farthing.search.changes import Upsert
from farthing.search.documents import DocumentReader, has_text
from farthing.search.errors import CatalogueInvalid, DocumentInvalid
from farthing.tables.files import chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest
    from farthing.search.segments.documents import Document


class Survey(NamedTuple):
    """What a file holds: documents to index, rows without any text, which are left out."""

    documents: int
    skipped: int
    sha256: str


class Catalogue:
    """The documents of a file as `index` describes them, in file order.

    `cut_long` cuts documents with too much text instead of refusing the file.
    """

    def __init__(self, file: Path, index: IndexManifest, *, cut_long: bool = False) -> None:
        self.file = file
        self._index = index
        self._reader = DocumentReader(index, cut_long=cut_long)
        self._columns = self._reader.columns

    def survey(self, told: Callable[[int], object] = lambda rows: None) -> Survey:
        """Reads the whole file and keeps none of it; `told` hears how many rows it has read.

        Raises `CatalogueInvalid` for the first row that cannot be indexed, an id that comes again
        or a file without any text; `DataInvalid` for what its format refuses.
        """
        seen = SeenIds()
        rows = documents = 0
        for batch in self._batches():
            repeat = seen.add([document.id for _, document in batch], [row for row, _ in batch])
            if repeat:
                raise CatalogueInvalid(
                    f"{self.file.name} has in row {repeat[0]} the id of row {repeat[1]} again, in "
                    f"its column {self._index.id_field!r}. Leave one of them out, or name a "
                    "column whose values differ with --id."
                )
            rows += len(batch)
            documents += sum(has_text(document) for _, document in batch)
            told(rows)
        if not documents:
            raise CatalogueInvalid(
                f"{self.file.name} was asked for documents, and none of its {rows} rows has text "
                f"in {' or '.join(repr(field.name) for field in self._index.fields)}. Name the "
                "columns to search with --text."
            )
        with self.file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return Survey(documents, rows - documents, digest)

    def documents(self) -> Iterator[Document]:
        """The documents that have text. Raises as `survey` does, but for ids that come again."""
        for batch in self._batches():
            for _, document in batch:
                if has_text(document):
                    yield document

    def upserts(self) -> Iterator[Upsert]:
        """The documents that have text, as changes to an index that is there."""
        for chunk in chunks(self.file, self._columns):
            records = zip(*chunk.columns, strict=True)
            for row, values in enumerate(records, start=chunk.first_row):
                if has_text(self._document(row, values)):
                    yield Upsert(dict(zip(self._columns, values, strict=True)))

    def _batches(self) -> Iterator[list[tuple[int, Document]]]:
        for chunk in chunks(self.file, self._columns):
            records = zip(*chunk.columns, strict=True)
            yield [
                (row, self._document(row, values))
                for row, values in enumerate(records, start=chunk.first_row)
            ]

    def _document(self, row: int, values: tuple[str | None, ...]) -> Document:
        record = dict(zip(self._columns, values, strict=True))
        try:
            return self._reader.read(record)
        except DocumentInvalid as error:
            raise CatalogueInvalid(f"{self.file.name}, row {row}: {error}") from None
