"""What an index's answers are worth: means over queries and kinds, significance, and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from farthing.indexing.evaluation.metrics import NAMES, Scores
from farthing.indexing.evaluation.significance import Difference, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.indexing.evaluation.queries import Query

EVERY = "all"
# More prefixes than this are no kinds of queries but parts of their ids.
KINDS_MAX = 20


class Judged(NamedTuple):
    """One query's scores by words alone, and as the index answers."""

    query: Query
    bm25: Scores
    default: Scores


class Means(msgspec.Struct, frozen=True):
    """Mean scores of so many queries."""

    scores: Scores
    queries: int

    def as_json(self) -> dict[str, float]:
        return dict(zip(NAMES, self.scores, strict=True)) | {"queries": self.queries}


class Timing(NamedTuple):
    """Milliseconds of a warm search for the top 10, on one thread, its stages in their order."""

    p50_ms: float
    p99_ms: float
    stages_p50_ms: dict[str, float]
    taken_ms: list[float]


class Report(msgspec.Struct, frozen=True):
    """`unjudged` counts the queries without any relevant document, which are left out.

    `bm25`, `default` and `significance`, of nDCG@10, are by group: "all" and each kind of query.
    """

    index: str
    version: int
    documents: int
    judged: list[Judged]
    unjudged: int
    bm25: dict[str, Means]
    default: dict[str, Means]
    significance: dict[str, Difference]
    timing: Timing

    def as_json(self) -> dict[str, object]:
        """The figures for machines, times rounded to a microsecond."""
        return {
            "bm25": {group: means.as_json() for group, means in self.bm25.items()},
            "default": {group: means.as_json() for group, means in self.default.items()},
            "p50_ms": round(self.timing.p50_ms, 3),
            "p99_ms": round(self.timing.p99_ms, 3),
            "stages_p50_ms": {
                stage: round(taken_ms, 3) for stage, taken_ms in self.timing.stages_p50_ms.items()
            },
            "searches_timed": len(self.timing.taken_ms),
            "significance": msgspec.to_builtins(self.significance),
            "unjudged": self.unjudged,
            "index": {"name": self.index, "version": self.version, "documents": self.documents},
        }


def summarise(
    judged: Sequence[Judged],
) -> tuple[dict[str, Means], dict[str, Means], dict[str, Difference]]:
    """Means of both ways of answering and the second's gain in nDCG@10, each by group."""
    groups = {EVERY: list(judged)} | by_kind(judged)
    bm25 = {group: _means([one.bm25 for one in some]) for group, some in groups.items()}
    default = {group: _means([one.default for one in some]) for group, some in groups.items()}
    gains = {
        group: compare(
            np.array([one.default.ndcg for one in some]), np.array([one.bm25.ndcg for one in some])
        )
        for group, some in groups.items()
    }
    return bm25, default, gains


def by_kind(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """The queries of each kind, by name; none where ids have no kinds but parts."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(one.query.kind, []).append(one)
    kinds = sorted(groups.keys() - {"", EVERY})
    return {kind: groups[kind] for kind in kinds} if len(kinds) <= KINDS_MAX else {}


def _means(scores: Sequence[Scores]) -> Means:
    return Means(Scores(*np.mean(scores, axis=0).tolist()), len(scores))
