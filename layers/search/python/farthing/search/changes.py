"""What may be done to an index's documents, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from farthing.search.documents import has_text, make_document
from farthing.search.errors import DocumentInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.search.manifest import IndexManifest
    from farthing.search.segments.documents import Document


class Upsert(msgspec.Struct, frozen=True, tag="upsert"):
    """A document by its columns; it replaces the one that has its id."""

    document: dict[str, Any]


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """No document has this id any more."""

    id: str


Change = Upsert | Delete


class Wanted(NamedTuple):
    """What is to be in the end: documents by id, ids without one, and what could not be read."""

    documents: dict[str, Document]
    deleted: set[str]
    refused: list[str]


def combined(index: IndexManifest, changes: Iterable[Change]) -> Wanted:
    """The sum of all changes in their order: of several to one id the last counts.

    A document that the index cannot hold changes nothing and is told in `refused`.
    """
    wanted = Wanted({}, set(), [])
    for change in changes:
        if isinstance(change, Delete):
            key = change.id.strip()
            wanted.documents.pop(key, None)
            wanted.deleted.add(key)
            continue
        try:
            document = checked(index, change)
        except DocumentInvalid as error:
            wanted.refused.append(str(error))
            continue
        wanted.deleted.discard(document.id)
        # Last in order too: pages of hits with equal scores follow the order of writing.
        wanted.documents.pop(document.id, None)
        wanted.documents[document.id] = document
    return wanted


def checked(index: IndexManifest, change: Upsert) -> Document:
    """The document to be. Raises `DocumentInvalid` where the index cannot hold it."""
    document = make_document(change.document, index)
    if not has_text(document):
        raise DocumentInvalid(
            f"A document has no text in {' or '.join(field.name for field in index.fields)}, so "
            "no search would find it. Give it one, or delete it."
        )
    return document
