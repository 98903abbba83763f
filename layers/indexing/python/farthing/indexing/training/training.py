"""An index learns how to rank, and publishes what it has learned as its next version."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.indexing.options import silent
from farthing.indexing.training.choosing import (
    BASELINE,
    FOLDS,
    choose,
    choose_dense_rows,
    cross_validate,
    found_by_recall,
    means,
)
from farthing.indexing.training.learners import SEED, learn
from farthing.indexing.training.samples import collect, usable
from farthing.inference.bundle import FileDigest
from farthing.search.engine import Engine
from farthing.search.errors import IndexMissing
from farthing.search.manifest import IndexManifest, RankingEntry
from farthing.search.opening import RANKING_FOLDER
from farthing.search.publishing import publish
from farthing.search.ranking import Ranking, encode_ranker
from farthing.storage import open_storage
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.indexing.evaluation.queries import Qrels, Query
    from farthing.indexing.options import Progress
    from farthing.indexing.training.choosing import Scores
    from farthing.indexing.training.samples import Sample, Usable
    from farthing.inference.tasks import Embedder

QUERIES_MIN = 20
DENSE_ROWS = (0, 50)
DIGEST_CHARS = 16


def train(
    folder: Path,
    embedder: Embedder,
    queries: Sequence[Query],
    qrels: Qrels,
    progress: Progress = silent,
) -> RankingEntry:
    """What the index in `folder` has learned, published as its next version.

    Of queries with splits only those of `train` are read. A ranker is chosen by cross-validation
    and taken only if it is nowhere worse than BM25 alone. The same queries and the same index
    give the same ranker.

    Raises `DataInvalid` for fewer than `QUERIES_MIN` usable queries, and what opening and
    publishing raise; the index then stays as it is.
    """
    engine = Engine.open(folder, embedder)
    asked = usable(queries, qrels, engine.known)
    if len(asked.queries) < QUERIES_MIN:
        raise DataInvalid(
            f"Of the queries {len(asked.queries)} can be learned from, having relevant documents "
            f"in the index; {QUERIES_MIN} are needed. The index goes on ranking as before; give "
            "more queries with their judgements, or none."
        )
    pools = _pools(engine, asked, progress)
    dense_rows = choose_dense_rows(pools)
    samples = pools[dense_rows]
    scores = cross_validate(samples, lambda done, total: progress("learning", done, total))
    chosen = choose(scores, [sample.kind for sample in samples])
    report = {
        "chosen": chosen,
        "dense_rows": dense_rows,
        "found_by_dense_rows": {str(rows): found for rows, found in found_by_recall(pools).items()},
        **_report(asked, scores, chosen),
    }
    return _publish(folder, Ranking(learn(samples)[chosen], dense_rows, report=report))


def _pools(engine: Engine, asked: Usable, progress: Progress) -> dict[int, list[Sample]]:
    pools: dict[int, list[Sample]] = {dense_rows: [] for dense_rows in DENSE_ROWS}
    for number, query in enumerate(asked.queries, 1):
        samples = collect(engine, query, asked.qrels[query.id], DENSE_ROWS)
        for dense_rows, sample in zip(DENSE_ROWS, samples, strict=True):
            pools[dense_rows].append(sample)
        progress("asking", number, len(asked.queries))
    return pools


def _report(asked: Usable, scores: dict[str, Scores], chosen: str) -> dict[str, Any]:
    kinds = [query.kind for query in asked.queries]
    return {
        "queries": len(asked.queries),
        "queries_left_out": asked.unjudged,
        "judged_documents_not_in_index": asked.unknown_documents,
        "folds": FOLDS,
        "seed": SEED,
        "gain_over_bm25": float((scores[chosen] - scores[BASELINE]).mean()),
        "ndcg@10_cross_validated": {name: means(found, kinds) for name, found in scores.items()},
    }


def _publish(folder: Path, ranking: Ranking) -> RankingEntry:
    raw = encode_ranker(ranking)
    digest = hashlib.sha256(raw).hexdigest()
    file = f"{digest[:DIGEST_CHARS]}.json"
    storage = open_storage(str(folder))
    storage.write(f"{RANKING_FOLDER}/{file}", raw)
    entry = RankingEntry(file, FileDigest(sha256=digest, bytes=len(raw)), ranking.report)

    def change(current: IndexManifest | None) -> IndexManifest:
        if current is None:
            raise IndexMissing(f"{folder} was being taught, and its index is gone. Build it again.")
        return msgspec.structs.replace(current, ranking=entry)

    publish(storage, change)
    return entry
