"""What a ranker knows of each candidate, as numbers.

How well it matches in words and in meaning, absolutely and against the other candidates; how much
it is like those that match best, by its vector and by its words; and what kind of query asks.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from farthing.search.ranking.words import times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.search.ranking.words import Floats, Integers, QueryTerms, Words

    Columns: TypeAlias = dict[str, NDArray[np.floating] | float]

FEATURES = (
    "bm25", "bm25_share", "bm25_rank", "bm25_behind", "bm25_best",
    "cosine", "cosine_share", "cosine_rank", "cosine_best", "cosine_mean",
    "query_terms", "query_numbers", "query_rarity",
    "found", "found_rarity", "found_numbers", "missing_numbers", "found_pairs", "found_of_row",
    "length", "length_share",
    "like_best", "like_best_most", "like_best_words",
    "near", "near_bm25", "near_cosine",
    "shared_words", "shared_unasked",
)  # fmt: skip
BEST_ROWS = 5
BEST_ROWS_BY_WORDS = 3
TINY = np.float32(1e-6)


class Candidates:
    """The n rows of a search between recall and ranking.

    `bm25` and `cosines` float32[n]; `likeness` float32[n, n], the cosines among the rows.
    """

    def __init__(
        self, query: QueryTerms, words: Words, bm25: Floats, cosines: Floats, likeness: Floats
    ) -> None:
        self.query = query
        self.words = words
        self.bm25 = bm25
        self.cosines = cosines
        self.likeness = likeness

    @property
    def asks_numbers(self) -> bool:
        """Whether the query has a word with a digit, as model names have."""
        return bool(self.query.numbers.any())

    @cached_property
    def table(self) -> Floats:
        """Their features, made when they are first asked for."""
        return features(self)


def features(view: Candidates) -> Floats:
    """float32[n, features], finite; columns in the order of `FEATURES`."""
    if not len(view.bm25):
        return np.empty((0, len(FEATURES)), dtype=np.float32)
    bm25, cosines = shares(view.bm25), shares(view.cosines)
    best = _first(bm25 + cosines, BEST_ROWS)
    columns: Columns = {
        **_scores(view, bm25, cosines),
        **_matches(view),
        **_likeness(view, bm25, best),
        **_shared_words(view, best),
    }
    table = np.empty((len(bm25), len(FEATURES)), dtype=np.float32)
    for place, name in enumerate(FEATURES):
        table[:, place] = columns[name]
    return table


def shares(scores: Floats) -> Floats:
    """The scores as parts of the best of them, at most 1."""
    parts: Floats = scores / max(scores.max(initial=0), TINY)
    return parts


def places(scores: Floats) -> Floats:
    """Each score's place, 0 for the best; earlier rows first among equals."""
    ranks = np.empty(len(scores), dtype=np.float32)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), dtype=np.float32)
    return ranks


def _first(scores: Floats, limit: int) -> Integers:
    return np.argsort(-scores, kind="stable")[:limit]


def _scores(view: Candidates, bm25: Floats, cosines: Floats) -> Columns:
    return {
        "bm25": view.bm25,
        "bm25_share": bm25,
        "bm25_rank": places(view.bm25),
        "bm25_behind": view.bm25.max() - view.bm25,
        "bm25_best": view.bm25.max(),
        "cosine": view.cosines,
        "cosine_share": cosines,
        "cosine_rank": places(view.cosines),
        "cosine_best": view.cosines.max(),
        "cosine_mean": view.cosines.mean(),
    }


def _matches(view: Candidates) -> Columns:
    query, words = view.query, view.words
    found = (words.counts.max(axis=1) > 0).astype(np.float32)
    weights = query.idf * query.counts
    numbers = query.numbers.astype(np.float32)
    found_numbers = times(found, numbers)
    length = words.lengths.sum(axis=1)
    return {
        "query_terms": len(query.hashes),
        "query_numbers": numbers.sum(),
        "query_rarity": weights.sum() / max(query.counts.sum(), 1),
        "found": found.sum(axis=1) / max(len(query.hashes), 1),
        "found_rarity": times(found, weights) / max(weights.sum(), TINY),
        # Below 0 where the query asks for none: not the same as finding none.
        "found_numbers": found_numbers / numbers.sum() if numbers.any() else -1.0,
        "missing_numbers": numbers.sum() - found_numbers,
        "found_pairs": words.pairs / max(len(query.pairs), 1),
        "found_of_row": found.sum(axis=1) / np.maximum(length, 1),
        "length": length,
        "length_share": length / max(length.mean(), 1),
    }


def _likeness(view: Candidates, bm25: Floats, best: Integers) -> Columns:
    """How near the row's vector is to those of the best rows, and what its neighbours score.

    The eighth power of a cosine makes a weight that only near rows have.
    """
    cosines = view.likeness.copy()
    np.fill_diagonal(cosines, 0)
    weights = np.maximum(cosines, 0) ** 2
    weights **= 2
    weights **= 2
    total = np.maximum(weights.sum(axis=1), TINY)
    rivals = np.full(len(bm25), len(best), dtype=np.float32)
    rivals[best] -= 1
    by_words = _first(view.bm25, BEST_ROWS_BY_WORDS)
    return {
        "like_best": cosines[:, best].sum(axis=1) / np.maximum(rivals, 1),
        "like_best_most": cosines[:, best].max(axis=1),
        "like_best_words": cosines[:, by_words].mean(axis=1),
        "near": cosines.max(axis=1),
        "near_bm25": times(weights, bm25) / total,
        "near_cosine": times(weights, view.cosines) / total,
    }


def _shared_words(view: Candidates, best: Integers) -> Columns:
    """How much of the row's words the best rows use too; words rare among candidates count more.

    Words are told apart by sixteen bits of their hashes, which is enough to count by.
    """
    rows, starts = len(view.bm25), view.words.starts
    slots = view.words.hashes.astype(np.uint16).astype(np.int64)
    used = np.bincount(slots, minlength=1 << 16)
    rarity = np.log1p(rows / (np.arange(used.max(initial=0) + 1) + 0.5)).astype(np.float32)
    of_best = np.zeros(1 << 16, dtype=np.float32)
    for row in best:
        of_best[slots[starts[row] : starts[row + 1]]] += 1 / len(best)
    weights = rarity[used[slots]]
    shared = weights * of_best[slots]
    of_best[view.query.hashes.astype(np.uint16)] = 0
    unasked = weights * of_best[slots]
    return {
        "shared_words": _sums(shared, starts) / np.maximum(_sums(weights, starts), TINY),
        "shared_unasked": _sums(unasked, starts),
    }


def _sums(values: Floats, starts: Integers) -> Floats:
    """The sum of each row's values; 0 for a row without any."""
    sums = np.add.reduceat(np.append(values, np.float32(0)), starts[:-1])
    sums[starts[:-1] == starts[1:]] = 0
    return sums
