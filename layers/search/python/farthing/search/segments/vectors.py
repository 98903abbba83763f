"""The rows' vectors, memory-mapped: INT8, side by side with those of their group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from farthing.search.segments.arrays import mapped
from farthing.search.segments.groups import dots, grouped, inverse_norms, probes_needed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.search.segments.groups import Int8s

VECTORS_FILE = "vectors.npy"
NORMS_FILE = "norms.npy"
CENTROIDS_FILE = "centroids.npy"
STARTS_FILE = "groups.npy"
FILES = (VECTORS_FILE, NORMS_FILE, CENTROIDS_FILE, STARTS_FILE)
ROWS_AT_ONCE = 8192
# Up to so many rows are picked out of the file before they are compared; more are scanned past.
PICKED_ROWS_MAX = 4096


class Vectors:
    """Cosines between INT8 queries and the rows of one segment."""

    def __init__(self, folder: Path, probes: int) -> None:
        self._vectors: Int8s = mapped(folder / VECTORS_FILE)
        self._inverse_norms: NDArray[np.float32] = mapped(folder / NORMS_FILE)
        self._centroids: Int8s = mapped(folder / CENTROIDS_FILE)
        self._starts: NDArray[np.int64] = mapped(folder / STARTS_FILE)
        self._centroid_norms = inverse_norms(self._centroids)
        self.probes = probes

    def nearest(
        self,
        query: Int8s,
        limit: int,
        mask: NDArray[np.bool_] | None = None,
        live: NDArray[np.bool_] | None = None,
        groups: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Up to `limit` rows nearest to int8[dims], best first, of those that are `live`.

        Without a `mask` only the groups nearest to the query are looked into, or those that a
        caller chose; with one all rows that it allows are, as they may lie anywhere.
        """
        if mask is not None:
            rows, cosines = self._allowed(query, mask)
        else:
            rows, cosines = self._near(query, groups)
        if live is not None:
            kept = live[rows]
            rows, cosines = rows[kept], cosines[kept]
        if len(rows) > limit:
            best = np.argpartition(cosines, -limit)[-limit:]
            rows, cosines = rows[best], cosines[best]
        return rows[np.lexsort((rows, -cosines))]

    def cosines(self, query: Int8s, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[n] between int8[dims] and the rows, -1 to 1."""
        scaled = self._scaled(query, self._vectors[rows], self._inverse_norms[rows])
        return scaled * inverse_norms(query[None])

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[n, dims] of length 1; a row without direction is all zeros."""
        unit: NDArray[np.float32] = self._vectors[rows] * self._inverse_norms[rows, None]
        return unit

    def pairs(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32[n, n]: the cosines among the rows."""
        chosen, scale = self._vectors[rows], self._inverse_norms[rows]
        return dots(chosen, chosen) * scale[:, None] * scale

    def towards(self, query: Int8s) -> NDArray[np.float32]:
        """float32[groups]: how near each group's middle is, times the query's length."""
        return self._scaled(query, self._centroids, self._centroid_norms)

    def _near(
        self, query: Int8s, groups: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if len(self._centroids) == 1:
            every = self._scaled(query, self._vectors, self._inverse_norms)
            return np.arange(len(every)), every
        if groups is None:
            groups = np.argpartition(self.towards(query), -self.probes)[-self.probes :]
        if not len(groups):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        begins, ends = self._starts[groups], self._starts[groups + 1]
        sizes = ends - begins
        rows = np.repeat(ends - sizes.cumsum(), sizes) + np.arange(sizes.sum())
        spans = zip(begins.tolist(), ends.tolist(), strict=True)
        products = [dots(query[None], self._vectors[begin:end])[0] for begin, end in spans]
        return rows, np.concatenate(products) * self._inverse_norms[rows]

    def _allowed(
        self, query: Int8s, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        (rows,) = mask.nonzero()
        if len(rows) <= PICKED_ROWS_MAX:
            return rows, self._scaled(query, self._vectors[rows], self._inverse_norms[rows])
        return rows, self._scaled(query, self._vectors, self._inverse_norms)[rows]

    def _scaled(
        self, query: Int8s, vectors: Int8s, scale: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The cosines times the query's length, which changes nothing of their order."""
        scaled: NDArray[np.float32] = dots(query[None], vectors)[0] * scale
        return scaled


class Grouping(NamedTuple):
    """In which order the rows were written, and what `SegmentFacts` says of their groups."""

    order: NDArray[np.int64]
    clusters: int
    probes: int
    probe_recall: float


def write(folder: Path, vectors: Int8s) -> Grouping:
    """Writes int8[n, dims] group by group."""
    groups = grouped(vectors)
    target = np.lib.format.open_memmap(folder / VECTORS_FILE, "w+", np.int8, vectors.shape)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        target[start : start + ROWS_AT_ONCE] = vectors[groups.order[start : start + ROWS_AT_ONCE]]
    target.flush()
    np.save(folder / NORMS_FILE, inverse_norms(target))
    np.save(folder / CENTROIDS_FILE, groups.centroids)
    np.save(folder / STARTS_FILE, groups.starts)
    probes, recall = probes_needed(target, groups)
    return Grouping(groups.order, len(groups.centroids), probes, recall)
