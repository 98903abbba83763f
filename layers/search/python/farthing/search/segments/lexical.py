"""Words to rows, and rows to documents: one tantivy index, whose document numbers are the rows.

tantivy wants a folder that it can lock and names of its own in it. A segment is read-only and has
the same names everywhere, so that the same documents give the same bytes. A folder of links stands
between the two for the moment of opening.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tantivy

from farthing.errors import SettingsError
from farthing.search.errors import IndexCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from farthing.search.filters import Condition, Interval, Where
    from farthing.search.manifest import Field, Filter
    from farthing.search.segments.columns import Columns

PARTS = ("fast", "fieldnorm", "idx", "pos", "store", "term")
META_FILE = "lexical.json"
FILES = (META_FILE, *(f"lexical.{part}" for part in PARTS))
# tantivy's own name for its only segment; it is random before it becomes this one.
UUID = "00000000-0000-4000-8000-000000000000"
# A limit, not an allocation. Beyond it tantivy would begin a second segment of its own, and its
# document numbers would no longer be the rows; `SegmentWriter.is_full` comes first.
HEAP_BYTES = 2_000_000_000
REMOVALS_MAX = 20
# Memory first: ten small files take a busy disk as many milliseconds. Lambda has only the second.
TEMPORARY = ("/dev/shm", "/tmp")  # noqa: S108


class Lexical:
    """The words and documents of one segment."""

    def __init__(
        self, folder: Path, fields: Sequence[Field], filters: Sequence[Filter], columns: Columns
    ) -> None:
        self._boosts = [field.boost for field in fields]
        self._columns = columns
        self._schema = _schema(len(fields), filters)
        self._searcher = _searcher(folder)

    def search(self, terms: Sequence[str], limit: int, where: Where | None) -> NDArray[np.int64]:
        """Up to `limit` rows with any of the terms, best first by BM25 with the fields' boosts."""
        should = [
            (
                tantivy.Occur.Should,
                tantivy.Query.boost_query(
                    tantivy.Query.term_query(self._schema, f"text{field}", term, "freq"), boost
                ),
            )
            for field, boost in enumerate(self._boosts)
            for term in terms
        ]
        query = tantivy.Query.boolean_query(should)
        if where is not None and where.conditions:
            allowed = [self._condition(condition) for condition in where.conditions]
            silent = [
                (tantivy.Occur.Must, tantivy.Query.const_score_query(condition, 0.0))
                for condition in allowed
            ]
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), *silent])
        hits = self._searcher.search(query, limit, count=False).hits
        return np.fromiter((address.doc for _, address in hits), np.int64, len(hits))

    def document_count(self, term: str, field: int) -> int:
        """In how many rows the field has the term."""
        count: int = self._searcher.doc_freq(f"text{field}", term)
        return count

    def rows_of(self, id_: str) -> list[int]:
        """The rows that have this id, rising."""
        having: int = self._searcher.doc_freq("id", id_.encode())
        if not having:
            return []
        query = tantivy.Query.term_query(self._schema, "id", id_.encode(), "basic")
        hits = self._searcher.search(query, having, count=False).hits
        return sorted(address.doc for _, address in hits)

    def records(self, rows: Sequence[int]) -> Iterator[bytes]:
        """The record of each row, in the order asked for."""
        for row in rows:
            document = self._searcher.doc(tantivy.DocAddress(0, row))
            yield bytes(document.get_first("record"))

    def _condition(self, condition: Condition) -> Any:
        column = condition.column
        if condition.intervals:
            within = [self._within(column, interval) for interval in condition.intervals]
            return tantivy.Query.boolean_query([(tantivy.Occur.Should, one) for one in within])
        codes = self._columns.codes_of(column, condition.words)
        return tantivy.Query.boolean_query(
            [
                (
                    tantivy.Occur.Should,
                    tantivy.Query.term_query(self._schema, f"filter{column}", code, "basic"),
                )
                for code in codes
            ]
        )

    def _within(self, column: int, interval: Interval) -> Any:
        low, high, with_low, with_high = interval
        return tantivy.Query.range_query(
            self._schema,
            f"filter{column}",
            tantivy.FieldType.Float,
            lower_bound=low,
            upper_bound=high,
            include_lower=with_low,
            include_upper=with_high,
        )


class LexicalWriter:
    """Builds the index in a folder of its own, then moves its files to where they stay."""

    def __init__(self, folder: Path, fields: int, filters: Sequence[Filter]) -> None:
        self._folder = folder
        schema = _schema(fields, filters)
        index = tantivy.Index(schema, str(folder))
        whitespace = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        index.register_tokenizer("whitespace", whitespace)
        self._kinds = [filter_.kind for filter_ in filters]
        # One thread: documents keep their order.
        self._writer = index.writer(HEAP_BYTES, 1)

    def add(
        self,
        id_: str,
        texts: Sequence[str],
        values: Sequence[int | float | None],
        record: bytes,
    ) -> None:
        """Adds the next row: terms joined by spaces for each field, codes or numbers to filter."""
        document = tantivy.Document()
        document.add_bytes("id", id_.encode())
        document.add_bytes("record", record)
        for field, text in enumerate(texts):
            document.add_text(f"text{field}", text)
        for place, (kind, value) in enumerate(zip(self._kinds, values, strict=True)):
            if value is not None:
                add = document.add_unsigned if kind == "keyword" else document.add_float
                add(f"filter{place}", value)
        self._writer.add_document(document)

    def finish(self, target: Path) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()
        meta = json.loads((self._folder / "meta.json").read_bytes())
        (segment,) = meta["segments"]
        written = segment["segment_id"].replace("-", "")
        segment["segment_id"] = UUID
        for part in PARTS:
            (self._folder / f"{written}.{part}").rename(target / f"lexical.{part}")
        (target / META_FILE).write_text(json.dumps(meta, sort_keys=True))


def _searcher(folder: Path) -> Any:
    """A searcher of the index's files in `folder`; all of them stay mapped as long as it lives."""
    links = _links_folder()
    try:
        for part in PARTS:
            target = (folder / f"lexical.{part}").absolute()
            (links / f"{UUID.replace('-', '')}.{part}").symlink_to(target)
        (links / "meta.json").symlink_to((folder / META_FILE).absolute())
        return tantivy.Index.open(str(links)).searcher()
    except (ValueError, OSError) as error:
        raise IndexCorrupt(
            f"{folder / META_FILE} and its files cannot be searched: {error}. "
            "Restore the folder, or build the index again."
        ) from None
    finally:
        _remove(links)


def _links_folder() -> Path:
    # `tempfile` would do this too, but takes 3 ms to import, and a cold start pays for it.
    asked = os.environ.get("TMPDIR")
    parents = [asked] if asked else TEMPORARY
    for parent in parents:
        folder = Path(parent, f"farthing-{os.urandom(8).hex()}")
        with suppress(OSError):
            folder.mkdir(mode=0o700)
            return folder
    raise SettingsError(
        f"A search needs a temporary folder for a moment, and {' and '.join(parents)} cannot be "
        "written. Set TMPDIR to a folder that can."
    )


def _remove(links: Path) -> None:
    # tantivy looks after its index in a thread, which may put a lock file here meanwhile.
    for _ in range(REMOVALS_MAX):
        with suppress(OSError):
            for file in links.iterdir():
                file.unlink(missing_ok=True)
            links.rmdir()
            return


def _schema(fields: int, filters: Sequence[Filter]) -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_bytes_field("id", indexed=True)
    builder.add_bytes_field("record", stored=True)
    for field in range(fields):
        builder.add_text_field(f"text{field}", tokenizer_name="whitespace", index_option="freq")
    for place, filter_ in enumerate(filters):
        if filter_.kind == "keyword":
            builder.add_unsigned_field(f"filter{place}", indexed=True)
        else:
            builder.add_float_field(f"filter{place}", fast=True)
    return builder.build()
