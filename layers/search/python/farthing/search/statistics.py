"""What an index counts over all its documents, kept right as segments come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.search.segments import Segment

ROWS_AT_ONCE = 8192


def field_terms(segment: Segment, rows: NDArray[np.int64] | None = None) -> tuple[int, ...]:
    """How many terms each field has in the rows, at least one; in all rows by default."""
    chosen = np.arange(segment.rows) if rows is None else rows
    totals = np.zeros(0, np.int64)
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        some = chosen[start : start + ROWS_AT_ONCE]
        lengths = segment.forward(some).lengths.reshape(len(some), -1).sum(axis=0)
        totals = totals + lengths if start else lengths
    return tuple(totals.tolist())


def total_terms(index: IndexManifest) -> list[int]:
    """How many terms each field has in all documents; means are kept exactly enough for it."""
    return [round(mean * index.documents) for mean in index.terms_mean]


def with_segments(
    index: IndexManifest, entries: Sequence[SegmentEntry], terms: Sequence[int]
) -> IndexManifest:
    """The manifest with these segments, whose documents have so many terms in each field."""
    documents = sum(entry.rows - entry.deleted for entry in entries)
    return msgspec.structs.replace(
        index,
        segments=tuple(entries),
        documents=documents,
        terms_mean=tuple(total / documents if documents else 0.0 for total in terms),
    )
