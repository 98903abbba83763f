"""What a ranker learns from: judged queries, and what an index recalls for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from farthing.indexing.evaluation.metrics import DISCOUNTS, NDCG_DEPTH, relevant_count
from farthing.search.segments import quantise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from farthing.indexing.evaluation.queries import Qrels, Query
    from farthing.search.engine import Engine

    Floats = NDArray[np.float32]

TRAIN = "train"


class Sample(NamedTuple):
    """A query's n candidates as rankers see them, and how good each is.

    `bm25`, `cosines` and `grades` float32[n], `table` float32[n, features]; `found` is the share
    of the relevant documents that are among them, `ideal` the DCG of the best possible answer.
    """

    kind: str
    bm25: Floats
    cosines: Floats
    asks_numbers: bool
    table: Floats
    grades: Floats
    found: float
    ideal: float

    def ndcg(self, scores: Floats) -> float:
        """nDCG@10 of the candidates in the order of their scores, 0 to 1."""
        best = np.argsort(-scores, kind="stable")[:NDCG_DEPTH]
        return float(_dcg(self.grades[best]) / self.ideal)


class Usable(NamedTuple):
    """The queries that can be learned from, and how much was left out and why."""

    queries: list[Query]
    qrels: Qrels
    unjudged: int
    unknown_documents: int


def usable(
    queries: Sequence[Query], qrels: Qrels, known: Callable[[list[str]], set[str]]
) -> Usable:
    """The queries with a relevant document that the index `known`s, and only such judgements.

    Where queries say which split they are of, only those of `train` are used.
    """
    if any(query.split for query in queries):
        queries = [query for query in queries if query.split == TRAIN]
    asked = {query.id: qrels.get(query.id, {}) for query in queries}
    judged = sorted({document for grades in asked.values() for document in grades})
    there = known(judged)
    kept = {
        query: {document: grade for document, grade in grades.items() if document in there}
        for query, grades in asked.items()
    }
    chosen = [query for query in queries if any(grade > 0 for grade in kept[query.id].values())]
    return Usable(chosen, kept, len(queries) - len(chosen), len(judged) - len(there))


def collect(
    engine: Engine, query: Query, grades: Mapping[str, int], dense_rows: Sequence[int]
) -> list[Sample]:
    """The query's sample for each number of rows recalled by vector."""
    vector = quantise(engine.embedder.vectors([query.text]))[0]
    ideal = _dcg(np.sort(np.array(list(grades.values()), dtype=np.float32))[::-1][:NDCG_DEPTH])
    samples = []
    for limit in dense_rows:
        rows, view = engine.candidates(query.text, vector, limit)
        found = np.array([grades.get(key, 0) for key in engine.ids(rows)], dtype=np.float32)
        samples.append(
            Sample(
                kind=query.kind,
                bm25=view.bm25,
                cosines=view.cosines,
                asks_numbers=view.asks_numbers,
                table=view.table,
                grades=found,
                found=float((found > 0).sum()) / relevant_count(grades),
                ideal=ideal,
            )
        )
    return samples


def _dcg(grades: Floats) -> float:
    return float(grades @ np.array(DISCOUNTS, dtype=np.float32)[: len(grades)])
