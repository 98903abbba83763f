"""How good one answer is: the measures of trec_eval, query by query.

A document whose grade is above 0 is relevant. All relevant documents count, whether the index
holds them or not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NDCG_DEPTH = 10
RECALL_DEPTH = 100
DISCOUNTS = tuple(1 / math.log2(rank + 1) for rank in range(1, NDCG_DEPTH + 1))


class Scores(NamedTuple):
    """Each from 0 to 1. `ndcg` is of the first 10, `mrr` and `recall` of the first 100."""

    ndcg: float
    mrr: float
    recall: float


# As reports and machines call the fields of `Scores`.
NAMES = ("ndcg@10", "mrr", "recall@100")


def relevant_count(grades: Mapping[str, int]) -> int:
    return sum(grade > 0 for grade in grades.values())


def score(ranking: Sequence[str], grades: Mapping[str, int]) -> Scores:
    """The scores of document ids, best first, against at least one relevant document.

    The gain of a document is its grade, as in trec_eval's `ndcg_cut` (Järvelin and Kekäläinen,
    2002, with the logarithm from the first rank on); `recip_rank` and `recall` are trec_eval's.
    """
    gains = [max(0, grades.get(document, 0)) for document in ranking[:RECALL_DEPTH]]
    ideal = sorted(grades.values(), reverse=True)
    first = next((rank for rank, gain in enumerate(gains, 1) if gain), math.inf)
    found = sum(gain > 0 for gain in gains)
    return Scores(_dcg(gains) / _dcg(ideal), 1 / first, found / relevant_count(grades))


def _dcg(gains: Iterable[int]) -> float:
    return sum(gain * share for gain, share in zip(gains, DISCOUNTS, strict=False) if gain > 0)
