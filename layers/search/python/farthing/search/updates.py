"""Adding, replacing and deleting documents: a small new segment, and bits in the old ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from farthing.inference.bundle import FileDigest
from farthing.search.changes import combined
from farthing.search.documents import embedded_text
from farthing.search.errors import EmbedderMismatch, IndexMissing
from farthing.search.publishing import publish
from farthing.search.segments.segment import encode_deletions
from farthing.search.statistics import field_terms, total_terms, with_segments
from farthing.search.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.inference.tasks import Embedder
    from farthing.search.changes import Change
    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.search.segments import Segment
    from farthing.storage import Storage


class Applied(NamedTuple):
    """The manifest as published, and what became of the changes.

    `unknown` ids were to be deleted and are in no document; `refused` says of each document that
    the index cannot hold why it cannot.
    """

    manifest: IndexManifest
    added: int
    replaced: int
    deleted: int
    unknown: list[str]
    refused: list[str]


def apply(storage: Storage, work: Path, embedder: Embedder, changes: Sequence[Change]) -> Applied:
    """The changes, published together as one version; of several to one id the last counts.

    `work` is a folder for copies of what lies in a bucket; it may be used again the next time.

    Raises `IndexMissing`, `EmbedderMismatch`, and `PublishConflict` where others keep coming first.
    """
    update = Update(storage, work, embedder)

    def change(current: IndexManifest | None) -> IndexManifest:
        return update.on(existing(current, storage), changes)

    manifest = publish(storage, change)
    return update.applied._replace(manifest=manifest)


def existing(current: IndexManifest | None, storage: Storage) -> IndexManifest:
    """The manifest that is there. Raises `IndexMissing` where none is."""
    if current is None:
        raise IndexMissing(
            f"{storage.url} was to be changed, and holds no index. Build one there with "
            "`farthing index build`, or correct the address."
        )
    return current


class Update:
    """One set of changes on whatever version is current; `on` may be asked again."""

    applied: Applied

    def __init__(self, storage: Storage, work: Path, embedder: Embedder) -> None:
        self._storage = storage
        self._place = Workplace(storage, work)
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def on(self, index: IndexManifest, changes: Iterable[Change]) -> IndexManifest:
        """The version to publish, all of whose files are in the storage; see `applied`.

        It is `index` itself where nothing is to be changed.
        """
        self._check_embedder(index)
        wanted = combined(index, changes)
        entries, terms, found = self._without(index, [*wanted.documents, *wanted.deleted])
        documents = list(wanted.documents.values())
        vectors = self._embed([embedded_text(document) for document in documents])
        for entry, added in self._place.write(index, zip(documents, vectors, strict=True)):
            entries.append(entry)
            terms = [a + b for a, b in zip(terms, added, strict=True)]
        replaced = len(wanted.documents.keys() & found)
        self.applied = Applied(
            index,
            added=len(wanted.documents) - replaced,
            replaced=replaced,
            deleted=len(wanted.deleted & found),
            unknown=sorted(wanted.deleted - found),
            refused=wanted.refused,
        )
        if not wanted.documents and not found:
            return index
        return with_segments(index, entries, terms)

    def _without(
        self, index: IndexManifest, ids: Sequence[str]
    ) -> tuple[list[SegmentEntry], list[int], set[str]]:
        """The segments less the documents of these ids, their fields' terms, and the ids found."""
        entries: list[SegmentEntry] = []
        terms = total_terms(index)
        found: set[str] = set()
        for entry in index.segments:
            segment = self._place.open(entry, index)
            rows = segment.rows_of(ids)
            found |= rows.keys()
            gone = np.array(sorted(rows.values()), np.int64)
            if len(gone):
                terms = [a - b for a, b in zip(terms, field_terms(segment, gone), strict=True)]
            if entry.deleted + len(gone) < entry.rows:
                entries.append(without_rows(self._storage, entry, segment, gone))
        return entries, terms, found

    def _embed(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Vectors of the texts; those of an earlier try are not computed again."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            self._vectors.update(zip(missing, self._embedder.vectors(missing), strict=True))
        return [self._vectors[text] for text in texts]

    def _check_embedder(self, index: IndexManifest) -> None:
        if index.embedder.digest != self._embedder.bundle.digest:
            raise EmbedderMismatch(
                f"{self._storage.url} holds vectors of the embedder {index.embedder.name} "
                f"({index.embedder.digest[:12]}), and {self._embedder.name} "
                f"({self._embedder.bundle.digest[:12]}) was to add to them. Use the one that the "
                "index was built with, or build it again."
            )


def without_rows(
    storage: Storage, entry: SegmentEntry, segment: Segment, gone: NDArray[np.int64]
) -> SegmentEntry:
    """The entry without these rows; the bits that say so are put in the storage."""
    if not len(gone):
        return entry
    dead = np.zeros(segment.rows, np.bool_) if segment.live is None else ~segment.live
    dead[gone] = True
    raw = encode_deletions(dead)
    digest = hashlib.sha256(raw).hexdigest()
    # Named by what is in it: two writers at once never write different bits to one name.
    name = f"{entry.id}.{digest[:16]}.bin"
    storage.write(f"deletions/{name}", raw)
    return msgspec.structs.replace(
        entry,
        deleted=int(dead.sum()),
        deletions=name,
        deletions_digest=FileDigest(sha256=digest, bytes=len(raw)),
    )
