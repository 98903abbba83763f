"""Compaction: small segments and those with many deleted rows become one, without embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.search.publishing import publish
from farthing.search.segments.writer import SEGMENT_ROWS_MAX
from farthing.search.statistics import total_terms, with_segments
from farthing.search.updates import existing
from farthing.search.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.storage import Storage

# Every segment costs a search some 0.2 ms, a merge costs each row some 0.1 ms once.
SMALL_ROWS = SEGMENT_ROWS_MAX // 8
SMALL_SEGMENTS_MAX = 4
DELETED_SHARE_MAX = 0.2


def compact(storage: Storage, work: Path, *, everything: bool = False) -> IndexManifest:
    """The manifest after merging what is worth it; the current one where nothing is.

    `everything` merges all small segments and all with any deleted row, worth it or not. Cold
    segments stay as they are. `work` is as in `apply`. Raises as `apply` does.
    """
    place = Workplace(storage, work)

    def change(current: IndexManifest | None) -> IndexManifest:
        index = existing(current, storage)
        chosen = worn(index.segments, everything=everything)
        return _merged(index, chosen, place) if chosen else index

    return publish(storage, change)


def worn(segments: Sequence[SegmentEntry], *, everything: bool = False) -> list[SegmentEntry]:
    """The segments to merge: large ones with many deleted rows, small ones once they are many.

    One alone that has lost nothing is never merged.
    """
    hot = [entry for entry in segments if entry.tier == "hot"]
    small = [entry for entry in hot if entry.rows - entry.deleted < SMALL_ROWS]
    share_max = 0.0 if everything else DELETED_SHARE_MAX
    chosen = [entry for entry in hot if entry.deleted > share_max * entry.rows]
    if everything or len(small) > SMALL_SEGMENTS_MAX:
        chosen = [entry for entry in hot if entry in chosen or entry in small]
    else:
        chosen = [entry for entry in chosen if entry.rows >= SMALL_ROWS]
    return [] if len(chosen) == 1 and not chosen[0].deleted else chosen


def _merged(
    index: IndexManifest, chosen: Sequence[SegmentEntry], place: Workplace
) -> IndexManifest:
    """The manifest with the chosen segments' live rows in new ones, which are in the storage."""
    entries = [entry for entry in index.segments if entry not in chosen]
    rows = (row for entry in chosen for row in place.open(entry, index).alive())
    entries += [entry for entry, _ in place.write(index, rows)]
    return with_segments(index, entries, total_terms(index))
