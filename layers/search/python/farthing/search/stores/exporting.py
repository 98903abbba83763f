"""An index's vectors and documents, copied into a vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from farthing.search.publishing import read_manifest
from farthing.search.segments import Segment
from farthing.search.stores.contract import METADATA_BYTES_MAX, Item, Label
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.search.manifest import IndexManifest
    from farthing.search.segments import Document
    from farthing.search.stores.contract import VectorStore

ROWS_AT_ONCE = 1_000


class Exported(NamedTuple):
    """How many documents were sent, and how many the store had already.

    `shortened` went without what a hit shows, as it is longer than stores take; `undirected` have
    a vector of zeros, which no store takes, and were left out.
    """

    sent: int
    kept: int
    shortened: int
    undirected: int


def label_of(manifest: IndexManifest) -> Label:
    """The label of a collection that is to hold the index's vectors."""
    return Label(manifest.embedder, manifest.filters)


def export(
    folder: Path, store: VectorStore, *, resume: bool = False, told: Callable[[int, int], object]
) -> Exported:
    """Sends every document of the index in `folder`, each in place of one with its id.

    With `resume` those whose ids the store has are left as they are, so that an export that was
    stopped goes on. What the store has and the index has not stays. `told` hears how many of how
    many documents are done.

    Raises what opening an index and writing to a store do; what was sent until then stays.
    """
    manifest = read_manifest(LocalStorage(folder))
    count = {"sent": 0, "kept": 0, "shortened": 0, "undirected": 0}
    done = 0
    for documents, vectors in _documents(folder, manifest):
        known = store.fetch([document.id for document in documents]) if resume else {}
        items = []
        for document, vector in zip(documents, vectors, strict=True):
            if document.id in known:
                count["kept"] += 1
            elif not vector.any():
                count["undirected"] += 1
            else:
                metadata, is_whole = _metadata(document, manifest)
                count["shortened"] += not is_whole
                items.append(Item(document.id, vector, metadata))
        count["sent"] += store.upsert(items)
        done += len(documents)
        told(done, manifest.documents)
    return Exported(**count)


def _documents(
    folder: Path, manifest: IndexManifest
) -> Iterator[tuple[list[Document], np.ndarray[Any, np.dtype[np.float32]]]]:
    for entry in manifest.segments:
        segment = Segment.open(folder, entry, manifest)
        live = np.arange(segment.rows) if segment.live is None else np.flatnonzero(segment.live)
        for start in range(0, len(live), ROWS_AT_ONCE):
            rows = live[start : start + ROWS_AT_ONCE]
            yield list(segment.sources(rows)), segment.vectors(rows)


def _metadata(document: Document, manifest: IndexManifest) -> tuple[dict[str, Any], bool]:
    """What a hit shows and what searches are narrowed by; the latter alone where it is too long."""
    pairs = zip(manifest.filters, document.filters, strict=True)
    filters = {one.name: value for one, value in pairs if value is not None}
    metadata = {**document.stored, **filters}
    if len(msgspec.json.encode(metadata)) <= METADATA_BYTES_MAX:
        return metadata, True
    return {manifest.id_field: document.id, **filters}, False
