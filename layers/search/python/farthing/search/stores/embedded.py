"""The store that is part of every index: INT8 vectors in segments, in a folder of this machine's.

    embedded:DIR

A folder that `farthing index build` made is read as it is; its documents have words, too, so they
are changed by `farthing index add` alone. A folder of vectors only is the same, but for the words.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from farthing.errors import FileMissing, SettingsError
from farthing.search.compaction import compact
from farthing.search.filters import Where
from farthing.search.manifest import FORMAT, Analysis, Field, IndexManifest
from farthing.search.publishing import garbage_collect, publish, read_manifest, spare
from farthing.search.segments import Document, Segment, quantise
from farthing.search.statistics import with_segments
from farthing.search.stores.addresses import read_address
from farthing.search.stores.contract import Label, Near
from farthing.search.stores.items import batches, checked_limit, unit_vector
from farthing.search.stores.labels import agreed, no_collection
from farthing.search.updates import without_rows
from farthing.search.workplace import segment_writer
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farthing.search.manifest import SegmentEntry
    from farthing.search.stores.contract import Floats, Item
    from farthing.search.stores.items import Ready

# A column that no file can have: what says that an index has vectors and no words.
NO_WORDS: Final = (Field(""),)
BATCH_ITEMS: Final = 16_384
BATCH_BYTES: Final = 256_000_000


class Version(NamedTuple):
    """What readers look into; replaced whole by a writer."""

    manifest: IndexManifest
    segments: tuple[Segment, ...]


def open_store(
    url: str, label: Label | None = None, environ: Mapping[str, str] | None = None
) -> EmbeddedStore:
    """The store at the address; see `farthing.search.stores.open_store`. `environ` has no part."""
    address = read_address(url)
    storage = LocalStorage(Path(address.path))
    try:
        manifest = read_manifest(storage)
    except FileMissing:
        if label is None:
            raise no_collection(address.url) from None
        manifest = publish(storage, lambda current: current or _empty(label))
    agreed(Label(manifest.embedder, manifest.filters), label, address.url, may_adopt=False)
    return EmbeddedStore(address.url, storage, manifest)


class EmbeddedStore:
    """Segments of vectors. Another process's writes are seen after opening it again."""

    def __init__(self, url: str, storage: LocalStorage, manifest: IndexManifest) -> None:
        self.url = url
        self._storage = storage
        self._folder = storage.folder
        self._writing = threading.Lock()
        self._label = Label(manifest.embedder, manifest.filters)
        self._version = self._opened(manifest, verify=True)

    def describe(self) -> Label:
        return self._label

    def upsert(self, items: Iterable[Item]) -> int:
        count = 0
        groups = batches(items, self._label, items_max=BATCH_ITEMS, bytes_max=BATCH_BYTES)
        for group in groups:
            self._write([item.id for item in group], group)
            count += len(group)
        self._tidy()
        return count

    def delete(self, ids: Sequence[str]) -> None:
        self._write(ids, [])

    def nearest(
        self, vector: Floats, limit: int, where: Mapping[str, Any] | None = None
    ) -> list[Near]:
        wanted = checked_limit(limit)
        query = quantise(unit_vector(vector, self._label.embedder.dims)[None])[0]
        narrowed = Where.parse(dict(where or {}), self._label.filters)
        found: list[tuple[float, Segment, int]] = []
        for segment in self._version.segments:
            mask = segment.mask(narrowed) if where else None
            rows = segment.recall_near(query, wanted, mask)
            cosines = segment.cosines(query, rows).tolist()
            found += ((cosine, segment, row) for cosine, row in zip(cosines, rows, strict=True))
        best = sorted(found, key=lambda one: -one[0])[:wanted]
        return [_near(*one) for one in best]

    def fetch(self, ids: Sequence[str]) -> dict[str, Floats]:
        vectors: dict[str, Floats] = {}
        for segment in self._version.segments:
            rows = segment.rows_of(list(dict.fromkeys(ids)))
            found = segment.vectors(np.fromiter(rows.values(), np.int64, len(rows)))
            vectors.update(zip(rows, found, strict=True))
        return vectors

    def count(self) -> int:
        return self._version.manifest.documents

    def close(self) -> None:
        self._version = self._version._replace(segments=())

    def _write(self, gone: Sequence[str], group: Sequence[Ready]) -> None:
        """Publishes a version without the ids and then with the group, in one step."""
        with self._writing:
            if self._version.manifest.fields != NO_WORDS:
                raise SettingsError(
                    f"{self.url} is an index with words, which a vector does not have. Change it "
                    "with `farthing index add` and `farthing index delete`."
                )
            added = self._segment(group) if group else None

            def change(current: IndexManifest | None) -> IndexManifest:
                index = current or self._version.manifest
                entries = [
                    self._without(segment, entry, gone)
                    for entry, segment in self._pairs(self._opened(index))
                ]
                kept = [entry for entry in entries if entry.deleted < entry.rows]
                if added is not None:
                    kept = [entry for entry in kept if entry.id != added.id] + [added]
                return index if tuple(kept) == index.segments else with_segments(index, kept, (0,))

            self._version = self._opened(publish(self._storage, change))

    def _segment(self, group: Sequence[Ready]) -> SegmentEntry:
        with segment_writer(self._folder, self._version.manifest) as writer:
            for item in group:
                stored = msgspec.json.decode(item.document)
                document = Document(item.id, ("",), tuple(item.filters.values()), stored)
                writer.add(document, item.vector)
            entry = writer.finish()
        spare(self._storage, f"segments/{entry.id}/")
        return entry

    def _without(self, segment: Segment, entry: SegmentEntry, ids: Sequence[str]) -> SegmentEntry:
        """The segment's entry without those ids, the bits that say so written."""
        gone = segment.rows_of(list(dict.fromkeys(ids)))
        rows = np.array(sorted(gone.values()), np.int64)
        return without_rows(self._storage, entry, segment, rows)

    def _tidy(self) -> None:
        """Merges segments where there are many small ones, and drops what is long unneeded."""
        with self._writing:
            if self._version.manifest.fields == NO_WORDS:
                merged = compact(self._storage, self._folder / ".work")
                garbage_collect(self._storage)
                self._version = self._opened(merged)

    def _opened(self, manifest: IndexManifest, *, verify: bool = False) -> Version:
        """The version's segments; those that are open already stay so."""
        known = {} if verify else {entry.id: one for entry, one in self._pairs(self._version)}
        entries = {} if verify else {one.id: one for one in self._version.manifest.segments}
        segments = tuple(
            known[entry.id]
            if entries.get(entry.id) == entry
            else Segment.open(self._folder, entry, manifest, verify=verify)
            for entry in manifest.segments
        )
        return Version(manifest, segments)

    @staticmethod
    def _pairs(version: Version) -> list[tuple[SegmentEntry, Segment]]:
        return list(zip(version.manifest.segments, version.segments, strict=True))


def _near(cosine: float, segment: Segment, row: int) -> Near:
    rows = np.array([row], np.int64)
    return Near(segment.ids(rows)[0], cosine, segment.documents(rows)[0])


def _empty(label: Label) -> IndexManifest:
    return IndexManifest(
        format=FORMAT,
        name="vectors",
        version=1,
        created_at="",
        id_field="id",
        fields=NO_WORDS,
        filters=label.filters,
        stored=(),
        analysis=Analysis(language="none"),
        embedder=label.embedder,
        documents=0,
        terms_mean=(0.0,),
        segments=(),
    )
