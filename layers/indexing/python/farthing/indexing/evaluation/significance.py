"""Whether two ways of answering the same queries differ by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEED = 20_071_106
RESAMPLES = 10_000
# Resamples are drawn so many scores at a time, which bounds their memory near 100 MB.
SCORES_AT_ONCE = 4_000_000
LEVEL = 0.95


class Difference(msgspec.Struct, frozen=True):
    """The mean difference of a query, the bounds of its 95 % interval, and `p` in (0, 1]."""

    difference: float
    low: float
    high: float
    p: float


def compare(ours: Floats, theirs: Floats) -> Difference:
    """The difference of scores of the same queries in the same order, at least one.

    `p` is the two-sided p of the paired randomisation test, by flips of signs (Smucker, Allan and
    Carterette, 2007); the interval is the percentile bootstrap's. Same scores, same figures.
    """
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    queries = len(differences)
    mean = float(differences.mean())
    moved = differences[differences != 0]

    def flipped(chance: np.random.Generator, count: int) -> Floats:
        signs = chance.integers(0, 2, (count, len(moved)), dtype=np.int8) * np.int8(2) - np.int8(1)
        means: Floats = signs @ moved / queries
        return means

    def redrawn(chance: np.random.Generator, count: int) -> Floats:
        means: Floats = differences[chance.integers(0, queries, (count, queries))].mean(axis=1)
        return means

    # What is equal but for the order of its additions is as extreme.
    extreme = np.abs(_resampled(flipped, queries)) >= abs(mean) * (1 - 1e-9)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(_resampled(redrawn, queries), (tail, 1 - tail))
    p = (1 + int(extreme.sum())) / (1 + RESAMPLES)
    return Difference(mean, float(low), float(high), p)


def _resampled(draw: Callable[[np.random.Generator, int], Floats], queries: int) -> Floats:
    chance = np.random.default_rng(SEED)
    step = max(1, SCORES_AT_ONCE // queries)
    counts = (min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step))
    return np.concatenate([draw(chance, count) for count in counts])
