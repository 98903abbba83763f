"""An index put through judged queries: scored at depth 100, then timed as callers meet it."""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from farthing.indexing.evaluation.metrics import RECALL_DEPTH, Scores, relevant_count, score
from farthing.indexing.evaluation.report import Judged, Report, Timing, summarise
from farthing.indexing.options import silent
from farthing.tables.chunk import DataInvalid
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.indexing.evaluation.queries import Qrels, Query
    from farthing.indexing.options import Progress
    from farthing.search.engine import Engine, Hit

    Told = Callable[[Query, Sequence[Hit]], None]

TOP_K = 10
# Fewer searches have no 99th percentile; more would only take longer.
TIMED_MIN = 200
TIMED_MAX = 2000
WARM_UP = 20


def evaluate(
    engine: Engine,
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    progress: Progress = silent,
    tell: Told | None = None,
) -> Report:
    """The report on an index that is open; `tell` is given each query's first 100 hits.

    :raises DataInvalid: where no query has a relevant document.
    """
    judged: list[Judged] = []
    for number, query in enumerate(queries, 1):
        grades = qrels.get(query.id, {})
        if relevant_count(grades):
            by_words = engine.search(query.text, top_k=RECALL_DEPTH, mode="bm25").hits
            by_default = engine.search(query.text, top_k=RECALL_DEPTH).hits
            judged.append(Judged(query, _score(by_words, grades), _score(by_default, grades)))
            if tell is not None:
                tell(query, by_default)
        progress("searching", number, len(queries))
    if not judged:
        raise DataInvalid(
            "None of the queries has a relevant document among the judgements. "
            "Give the judgements of these queries, with the same query ids."
        )
    bm25, default, significance = summarise(judged)
    return Report(
        index=engine.manifest.name,
        version=engine.manifest.version,
        documents=engine.manifest.documents,
        judged=judged,
        unjudged=len(queries) - len(judged),
        bm25=bm25,
        default=default,
        significance=significance,
        timing=time_searches(engine, [one.query.text for one in judged]),
    )


def time_searches(engine: Engine, texts: Sequence[str]) -> Timing:
    """Times of searches for the texts, again from the first where there are few of them."""
    evenly = texts[:: -(-len(texts) // TIMED_MAX)]
    taken_ms: list[float] = []
    stages_ns: list[dict[str, int]] = []
    for text in islice(evenly, WARM_UP):
        engine.search(text, top_k=TOP_K)
    for text in islice(cycle(evenly), max(TIMED_MIN, len(evenly))):
        started_ns = time.perf_counter_ns()
        found = engine.search(text, top_k=TOP_K)
        taken_ms.append((time.perf_counter_ns() - started_ns) / NS_PER_MS)
        stages_ns.append(found.stages_ns)
    p50_ms, p99_ms = np.quantile(taken_ms, (0.5, 0.99)).tolist()
    # A stage that a query did without, as words alone do without a vector, took it no time.
    names = {stage: None for stages in stages_ns for stage in stages}
    medians_ms = {
        stage: float(np.median([stages.get(stage, 0) for stages in stages_ns])) / NS_PER_MS
        for stage in names
    }
    return Timing(p50_ms, p99_ms, medians_ms, taken_ms)


def _score(hits: Sequence[Hit], grades: dict[str, int]) -> Scores:
    return score([hit.id for hit in hits], grades)
