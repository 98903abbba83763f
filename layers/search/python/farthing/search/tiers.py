"""Hot and cold: which segments an index keeps at hand, by what its searches found.

A document's popularity is how often it was found. A segment's is that of its documents together,
for each byte that it takes: what is kept at hand is bounded by its bytes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.errors import SettingsError
from farthing.search.publishing import publish
from farthing.search.segments import SEGMENT_ROWS_MAX
from farthing.search.statistics import total_terms, with_segments
from farthing.search.updates import existing
from farthing.search.workplace import Workplace, segment_writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from farthing.search.manifest import IndexManifest, SegmentEntry, Tier
    from farthing.search.segments import Document, SegmentWriter
    from farthing.storage import Storage

    Hits = Mapping[str, int]


class Room(msgspec.Struct, frozen=True):
    """How much is hot: so many segments, or so many megabytes; None where that is no bound."""

    segments: int | None = None
    mb: float | None = None

    def holds(self, segments: int, size_bytes: int) -> bool:
        return (self.segments is None or segments <= self.segments) and (
            self.mb is None or size_bytes <= self.mb * 1e6
        )


def retier(
    storage: Storage, work: Path, room: Room, hits: Hits, *, regroup: bool = False
) -> IndexManifest:
    """The manifest as published, its most popular segments hot as far as there is room.

    One segment is always hot. With `regroup` segments are written anew, so that documents that
    were found share hot ones; vectors are copied. `work` is as for `updates.apply`. Raises as
    that does.
    """
    place = Workplace(storage, work)

    def change(current: IndexManifest | None) -> IndexManifest:
        index = existing(current, storage)
        if regroup:
            return regrouped(index, room, hits, place)
        entries = by_room(index.segments, popularity(index, hits, place), room)
        if entries == index.segments:
            return index
        return msgspec.structs.replace(index, segments=entries)

    return publish(storage, change)


def popularity(index: IndexManifest, hits: Hits, place: Workplace) -> dict[str, int]:
    """How often each segment's live documents were found; an id that is nowhere counts nowhere."""
    found = dict.fromkeys((entry.id for entry in index.segments), 0)
    for entry in index.segments if hits else ():
        rows = place.open(entry, index).rows_of(list(hits))
        found[entry.id] = sum(hits[id_] for id_ in rows)
    return found


def by_room(
    segments: Sequence[SegmentEntry], counts: Mapping[str, int], room: Room
) -> tuple[SegmentEntry, ...]:
    """The segments, hot in order of their popularity for each byte while there is room."""
    hot: set[str] = set()
    taken = 0
    for entry in sorted(segments, key=lambda entry: -counts[entry.id] / entry.bytes):
        if not hot or room.holds(len(hot) + 1, taken + entry.bytes):
            hot.add(entry.id)
            taken += entry.bytes
    return tuple(
        msgspec.structs.replace(entry, tier="hot" if entry.id in hot else "cold")
        for entry in segments
    )


def regrouped(index: IndexManifest, room: Room, hits: Hits, place: Workplace) -> IndexManifest:
    """The manifest with all live rows in new segments, which are in the storage.

    Hot are the documents found most often, as many as there is room for. Raises `SettingsError`
    where none of the index's was found.
    """
    popular = set(_most_popular(index, room, _found(index, hits, place)))
    if not popular:
        raise SettingsError(
            "None of the documents that were found is in the index, so nothing would be hot. Give "
            "--hits a file of this index's ids."
        )
    with tempfile.TemporaryDirectory(dir=place.work, prefix=".regrouped-") as aside:
        shelves: dict[Tier, Shelf] = {
            tier: Shelf(Path(aside), index, place, tier) for tier in ("hot", "cold")
        }
        for entry in index.segments:
            for document, vector in place.open(entry, index).alive():
                shelves["hot" if document.id in popular else "cold"].add(document, vector)
        entries = [entry for shelf in shelves.values() for entry in shelf.finish()]
    return with_segments(index, entries, total_terms(index))


class Shelf:
    """Segments of one tier in the making, one after another."""

    def __init__(self, folder: Path, index: IndexManifest, place: Workplace, tier: Tier) -> None:
        self._folder, self._index, self._place, self._tier = folder, index, place, tier
        self._writer: SegmentWriter | None = None
        self._entries: list[SegmentEntry] = []

    def add(self, document: Document, vector: NDArray[np.float32]) -> None:
        self._writer = self._writer or segment_writer(self._folder, self._index)
        self._writer.add(document, vector)
        if self._writer.is_full:
            self._keep(self._writer)

    def finish(self) -> list[SegmentEntry]:
        """The entries of all segments, which are in the storage."""
        if self._writer:
            self._keep(self._writer)
        return self._entries

    def _keep(self, writer: SegmentWriter) -> None:
        entry, _ = self._place.keep(self._folder, writer.finish(), self._index)
        self._entries.append(msgspec.structs.replace(entry, tier=self._tier))
        self._writer = None


def _found(index: IndexManifest, hits: Hits, place: Workplace) -> Hits:
    """The hits of documents that the index has."""
    wanted = [id_ for id_ in hits if hits[id_] > 0]
    segments = (place.open(entry, index) for entry in index.segments)
    return {id_: hits[id_] for segment in segments for id_ in segment.rows_of(wanted)}


def _most_popular(index: IndexManifest, room: Room, hits: Hits) -> list[str]:
    """The ids found most often, as many as would fill the room; at least one of them."""
    rows = sum(entry.rows for entry in index.segments)
    bytes_a_row = sum(entry.bytes for entry in index.segments) / rows
    bounds = [len(hits)]
    if room.mb is not None:
        bounds.append(int(room.mb * 1e6 / bytes_a_row))
    if room.segments is not None:
        bounds.append(room.segments * SEGMENT_ROWS_MAX)
    return sorted(hits, key=lambda id_: (-hits[id_], id_))[: max(1, min(bounds))]
