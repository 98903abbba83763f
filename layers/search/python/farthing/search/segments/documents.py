"""A document as it goes into a segment and comes out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Document(msgspec.Struct, frozen=True):
    """One document: a text for each of the index's fields, a value for each of its filters.

    `stored` is what a hit shows, the id's own column included.
    """

    id: str
    texts: tuple[str, ...]
    filters: tuple[str | float | None, ...]
    stored: dict[str, Any]


class Record(msgspec.Struct, array_like=True):
    """A document in the document store; what `stored` shows already is not kept twice.

    It is JSON, whose whole numbers may be of any size.
    """

    stored: msgspec.Raw
    id: str
    texts: tuple[str | None, ...]
    filters: tuple[str | float | None, ...]


class Shown(msgspec.Struct, array_like=True):
    """The part of a record that a hit needs."""

    stored: dict[str, Any]


class Identified(msgspec.Struct, array_like=True):
    """The part of a record that tells which document it is."""

    stored: msgspec.Raw
    id: str


_encoder = msgspec.json.Encoder()
_records = msgspec.json.Decoder(Record)
_shown = msgspec.json.Decoder(Shown)
_identified = msgspec.json.Decoder(Identified)


def encode(document: Document, fields: Sequence[str]) -> bytes:
    """The document's record; `fields` names the column of each text."""
    texts = tuple(
        None if document.stored.get(name) == text else text
        for name, text in zip(fields, document.texts, strict=True)
    )
    stored = msgspec.Raw(_encoder.encode(document.stored))
    return _encoder.encode(Record(stored, document.id, texts, document.filters))


def decode(raw: bytes, fields: Sequence[str]) -> Document:
    """The document whose record this is."""
    record = _records.decode(raw)
    stored: dict[str, Any] = msgspec.json.decode(record.stored)
    texts = tuple(
        stored[name] if text is None else text
        for name, text in zip(fields, record.texts, strict=True)
    )
    return Document(record.id, texts, record.filters, stored)


def decode_stored(raw: bytes) -> dict[str, Any]:
    return _shown.decode(raw).stored


def decode_id(raw: bytes) -> str:
    return _identified.decode(raw).id
