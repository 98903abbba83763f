"""Rows grouped by what their vectors mean, so that a search looks into a few groups only.

Groups come from spherical k-means on INT8 vectors. All distances are whole numbers, so the same
rows give the same groups on every machine, however its floats are summed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import simsimd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int8s = NDArray[np.int8]

# Below this an exact scan takes as long as looking into groups: 0.2 ms.
GROUPED_ROWS_MIN = 20_000
# Groups are the root of the rows times this; more are smaller, but cost more to choose among.
GROUPS_PER_ROOT = 2.0
SAMPLE_ROWS_PER_GROUP = 32
ROUNDS = 8
# Distances held at once: so many rows by all groups, 4 bytes each.
ROWS_AT_ONCE = 4096

NEIGHBOURS = 100
RECALL_MIN = 0.97
QUERIES = 256
# How far a query lies from a row it is about: the noise's length, where the row's is 1.
QUERY_NOISE = 3.0


class Groups(NamedTuple):
    """The groups of n rows: `order` lists the rows group by group, `starts` where each begins.

    `centroids` are int8[groups, dims]; group g is `order[starts[g]:starts[g + 1]]`.
    """

    centroids: Int8s
    order: NDArray[np.int64]
    starts: NDArray[np.int64]


def quantise(vectors: NDArray[np.float32]) -> Int8s:
    """int8[n, dims] that point where float32[n, dims] do; lengths are lost.

    Each row is scaled to use the whole range, -127 to 127; a row of zeros stays one.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scale = np.divide(127.0, largest, out=np.zeros_like(largest), where=largest > 0)
    quantised: Int8s = np.rint(vectors * scale).astype(np.int8)
    return quantised


def inverse_norms(vectors: Int8s) -> NDArray[np.float32]:
    """1 / length of each row, 0 for a row of zeros."""
    squares = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = vectors[start : start + ROWS_AT_ONCE].astype(np.float32)
        squares[start : start + ROWS_AT_ONCE] = np.einsum("nd,nd->n", rows, rows)
    return np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


def dots(left: Int8s, right: Int8s) -> NDArray[np.int32]:
    """int32[len(left), len(right)]: the dot products, exact up to 131,072 dims."""
    if not len(right):
        return np.empty((len(left), 0), np.int32)
    products: NDArray[np.int32] = np.asarray(simsimd.cdist(left, right, "dot", out_dtype="int32"))
    return products


def grouped(vectors: Int8s) -> Groups:
    """The groups of int8[n, dims], n at least 1; one group where they are too few to gain by it."""
    rows = len(vectors)
    if rows < GROUPED_ROWS_MIN:
        everything = np.zeros((1, vectors.shape[1]), np.int8)
        return Groups(everything, np.arange(rows), np.array([0, rows], np.int64))
    count = round(GROUPS_PER_ROOT * rows**0.5)
    chance = np.random.default_rng(0)
    chosen = chance.permutation(rows)[: count * SAMPLE_ROWS_PER_GROUP]
    sample = vectors[np.sort(chosen)]
    centroids = vectors[np.sort(chosen[:count])]
    for _ in range(ROUNDS):
        centroids = _moved(centroids, sample, chance)
    nearest = _nearest(vectors, centroids)
    order = np.argsort(nearest, kind="stable")
    starts = np.searchsorted(nearest[order], np.arange(count + 1))
    return Groups(centroids, order, starts.astype(np.int64))


def probes_needed(vectors: Int8s, groups: Groups) -> tuple[int, float]:
    """How many groups to look into, and the share of nearest rows those hold, 0 to 1.

    `vectors` are in the groups' order. Rows blurred by noise stand for queries; of the nearest
    `NEIGHBOURS` rows of each, the groups that are nearest to it hold `RECALL_MIN` or more.
    """
    count = len(groups.centroids)
    if count == 1:
        return 1, 1.0
    chance = np.random.default_rng(1)
    queries = _blurred(vectors[chance.permutation(len(vectors))[:QUERIES]], chance)
    scale = inverse_norms(vectors)
    neighbours = np.empty((len(queries), NEIGHBOURS), np.int64)
    for place, query in enumerate(queries):
        cosines = dots(query[None], vectors)[0] * scale
        neighbours[place] = np.argpartition(cosines, -NEIGHBOURS)[-NEIGHBOURS:]
    homes = np.searchsorted(groups.starts, neighbours, side="right") - 1
    towards = dots(queries, groups.centroids) * inverse_norms(groups.centroids)
    turns = np.argsort(np.argsort(-towards, axis=1, kind="stable"), axis=1)
    needed = np.take_along_axis(turns, homes, axis=1)
    held = np.bincount(needed.ravel(), minlength=count).cumsum() / needed.size
    probes = int(np.searchsorted(held, RECALL_MIN)) + 1
    return probes, float(held[probes - 1])


def _blurred(rows: Int8s, chance: np.random.Generator) -> Int8s:
    unit = rows * inverse_norms(rows)[:, None]
    noise = chance.standard_normal(rows.shape) / rows.shape[1] ** 0.5
    return quantise((unit + QUERY_NOISE * noise).astype(np.float32))


def _nearest(vectors: Int8s, centroids: Int8s) -> NDArray[np.int64]:
    scale = inverse_norms(centroids)
    nearest = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = np.ascontiguousarray(vectors[start : start + ROWS_AT_ONCE])
        nearest[start : start + len(rows)] = (dots(rows, centroids) * scale).argmax(axis=1)
    return nearest


def _moved(centroids: Int8s, sample: Int8s, chance: np.random.Generator) -> Int8s:
    """The centroids in the middle of their rows; one that has none starts anew at a random row."""
    nearest = _nearest(sample, centroids)
    order = np.argsort(nearest, kind="stable")
    owners, starts = np.unique(nearest[order], return_index=True)
    sums: NDArray[Any] = np.add.reduceat(sample[order], starts, axis=0, dtype=np.int32)
    moved = sample[chance.integers(len(sample), size=len(centroids))]
    moved[owners] = quantise(sums.astype(np.float32))
    return moved
