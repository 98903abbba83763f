"""Which ranker an index gets: the one that ranks queries best that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from farthing.indexing.training.learners import SEED, learn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from farthing.indexing.training.samples import Sample

    Scores = NDArray[np.float64]

FOLDS = 5
# Kinds of query with fewer than these say too little to be kept from harm one by one.
KIND_QUERIES_MIN = 20
# A more complex ranker has to be better by this part of the difference's standard error.
MARGIN = 0.5


# Rows recalled by vector cost a third of a millisecond; they come along where they add this much
# to the share of relevant documents that are found at all.
RECALL_GAIN_MIN = 0.02
BASELINE = "bm25"


def choose_dense_rows(pools: Mapping[int, Sequence[Sample]]) -> int:
    """The fewest rows recalled by vector that find nearly as much as the most do.

    `pools` has the samples of the same queries for each number of them.
    """
    found = found_by_recall(pools)
    return min(rows for rows in found if found[rows] > max(found.values()) - RECALL_GAIN_MIN)


def found_by_recall(pools: Mapping[int, Sequence[Sample]]) -> dict[int, float]:
    """The mean share of relevant documents found, for each number of rows recalled by vector."""
    return {rows: float(np.mean([each.found for each in pool])) for rows, pool in pools.items()}


def cross_validate(
    samples: Sequence[Sample], told: Callable[[int, int], object]
) -> dict[str, Scores]:
    """nDCG@10 of each query under each kind of ranker, taught without that query.

    The simplest kind comes first. `told` hears of each step that is done, and of how many.
    """
    scores: dict[str, Scores] = {}
    fold = _folds(samples)
    for number in range(FOLDS):
        taught = [one for one, its in zip(samples, fold, strict=True) if its != number]
        for name, ranker in learn(taught).items():
            found = scores.setdefault(name, np.zeros(len(samples)))
            for place in np.flatnonzero(fold == number).tolist():
                found[place] = samples[place].ndcg(ranker.scores(samples[place]))
        told(number + 1, FOLDS)
    return scores


def choose(scores: Mapping[str, Scores], kinds: Sequence[str]) -> str:
    """The simplest ranker that is about as good as the best, of those that nowhere do harm.

    Harm is a mean below BM25's, over all queries or over a kind of them with at least
    `KIND_QUERIES_MIN`. BM25 itself always passes.
    """
    baseline = scores[BASELINE]
    groups = [group for group in _groups(kinds).values() if len(group) >= KIND_QUERIES_MIN]
    safe = {
        name: found
        for name, found in scores.items()
        if found.mean() >= baseline.mean()
        and all(found[group].mean() >= baseline[group].mean() for group in groups)
    }
    best = max(safe.values(), key=lambda found: float(found.mean()))

    def is_close(found: Scores) -> bool:
        behind = best - found
        return bool(behind.mean() <= MARGIN * behind.std() / len(behind) ** 0.5)

    return next(name for name, found in safe.items() if is_close(found))


def means(found: Scores, kinds: Sequence[str]) -> dict[str, float]:
    """The mean over all queries, and over each kind of them where there are several."""
    groups = _groups(kinds)
    of_kinds = {kind: float(found[group].mean()) for kind, group in groups.items() if kind}
    return {"all": float(found.mean()), **(of_kinds if len(groups) > 1 else {})}


def _folds(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Each sample's fold, 0 to `FOLDS` - 1: at random, but each kind spread evenly."""
    chance = np.random.default_rng(SEED)
    fold = np.empty(len(samples), dtype=np.int64)
    for group in _groups([sample.kind for sample in samples]).values():
        fold[chance.permutation(group)] = np.arange(len(group)) % FOLDS
    return fold


def _groups(kinds: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    every = np.array(kinds)
    return {kind: np.flatnonzero(every == kind) for kind in dict.fromkeys(kinds)}
