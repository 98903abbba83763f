"""A user's record as a document of an index: checked, and each value of one kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from farthing.search.errors import DocumentInvalid
from farthing.search.segments.documents import Document
from farthing.search.segments.writer import ID_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.search.manifest import Filter, IndexManifest

TEXT_CHARS_MAX = 1_000_000
# A window of 256 tokens ends long before; a tokenizer would go on to the end of the text.
EMBEDDED_CHARS_MAX = 16_384


def make_document(
    record: Mapping[str, Any], index: IndexManifest, *, cut_long: bool = False
) -> Document:
    """The record as a document of `index`; see `DocumentReader`."""
    return DocumentReader(index, cut_long=cut_long).read(record)


class DocumentReader:
    """Makes documents of records, which may have the columns of `index` and no others.

    Numbers and true or false become text where text is asked for, text becomes a number where a
    number is. A blank value is none. `cut_long` cuts texts that are together longer than
    `TEXT_CHARS_MAX` instead of refusing them.
    """

    def __init__(self, index: IndexManifest, *, cut_long: bool = False) -> None:
        self.columns = columns(index)
        self._known = frozenset(self.columns)
        self._id = index.id_field
        self._fields = tuple(field.name for field in index.fields)
        self._filters = index.filters
        self._stored = index.stored
        self._cut_long = cut_long

    def read(self, record: Mapping[str, Any]) -> Document:
        """Raises `DocumentInvalid` saying which column has what is wrong, never what it holds."""
        if not self._known.issuperset(record):
            raise DocumentInvalid(
                f"A document has {len(record.keys() - self._known)} columns that the index has "
                f"not; it has {', '.join(self.columns)}. Leave the others out, or build the index "
                "with them."
            )
        key = self._key(record)
        texts = tuple([_text(record, name) for name in self._fields])
        if sum(map(len, texts)) > TEXT_CHARS_MAX:
            texts = self._shortened(texts)
        filters = tuple([_filter_value(record, each) for each in self._filters])
        # A column that is both searched and filtered is kept as it is written.
        known: dict[str, Any] = {self._id: key}
        known.update(zip(self._fields, texts, strict=True))
        for each, value in zip(self._filters, filters, strict=True):
            known.setdefault(each.name, value)
        stored = {}
        for name in self._stored:
            value = known[name] if name in known else record.get(name)
            if value is not None and value != "":
                stored[name] = value
        return Document(key, texts, filters, stored)

    def _key(self, record: Mapping[str, Any]) -> str:
        key = _text(record, self._id).strip()
        if not key:
            raise DocumentInvalid(f"A document has no id in {self._id!r}. Give it one.")
        if len(key) * 4 > ID_BYTES_MAX and len(key.encode()) > ID_BYTES_MAX:
            raise DocumentInvalid(
                f"A document has an id of {len(key.encode())} bytes in {self._id!r}; "
                f"{ID_BYTES_MAX} are the most. Give it a shorter one."
            )
        return key

    def _shortened(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not self._cut_long:
            raise DocumentInvalid(
                f"A document has {sum(map(len, texts)):,} characters of text; {TEXT_CHARS_MAX:,} "
                "are the most. Split it into several documents, or cut it (--cut-long does, when "
                "a catalogue is indexed)."
            )
        left = TEXT_CHARS_MAX
        kept = []
        for text in texts:
            kept.append(text[:left])
            left -= len(kept[-1])
        return tuple(kept)


def columns(index: IndexManifest) -> tuple[str, ...]:
    """The columns that a document of the index may have, each once, the id's first."""
    names = [index.id_field, *(field.name for field in index.fields)]
    names += [each.name for each in index.filters]
    return tuple(dict.fromkeys([*names, *index.stored]))


def has_text(document: Document) -> bool:
    """Whether there is anything in it to search for."""
    return any(text and not text.isspace() for text in document.texts)


def embedded_text(document: Document) -> str:
    """What its vector is made of: its texts, joined, up to what a model's window can hold."""
    return ". ".join(text for text in document.texts if text)[:EMBEDDED_CHARS_MAX]


def _text(record: Mapping[str, Any], column: str) -> str:
    value = record.get(column)
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise DocumentInvalid(
        f"A document has a {type(value).__name__} in {column!r}, where a text is asked for. "
        "Write it as one text."
    )


def _filter_value(record: Mapping[str, Any], wanted: Filter) -> str | float | None:
    text = _text(record, wanted.name).strip()
    if not text:
        return None
    if wanted.kind == "keyword":
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DocumentInvalid(
            f"A document has in {wanted.name!r} what is no number, and the index filters that "
            "column by numbers. Correct it, or leave it blank."
        )
    return number
