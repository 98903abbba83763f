"""What a report says of an index, asked through an engine whose answers are known."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytrec_eval

from farthing.indexing.evaluation.metrics import NAMES
from farthing.indexing.evaluation.queries import Qrels, Query
from farthing.indexing.evaluation.report import KINDS_MAX
from farthing.indexing.evaluation.run import TIMED_MIN, evaluate
from farthing.indexing.evaluation.trec import TrecRun
from farthing.tables.chunk import DataInvalid

STAGES_NS = {"embed": 1_000_000, "lexical": 200_000, "rank": 300_000}


class Hit(NamedTuple):
    id: str
    score: float


class Found(NamedTuple):
    hits: list[Hit]
    stages_ns: dict[str, int]


class Manifest(NamedTuple):
    name: str = "known"
    version: int = 3
    documents: int = 1000


class KnownEngine:
    """Ranks documents as it was told to, by the query's text and the mode."""

    manifest = Manifest()

    def __init__(self, rankings: dict[tuple[str, str], list[Hit]]) -> None:
        self._rankings = rankings
        self.asked: list[tuple[str, int, str]] = []

    def search(self, query: str, *, top_k: int = 10, mode: str = "default") -> Found:
        self.asked.append((query, top_k, mode))
        stages = STAGES_NS if mode == "default" else {"lexical": 200_000}
        return Found(self._rankings[query, mode][:top_k], stages)


def judged_at_random(count: int) -> tuple[KnownEngine, list[Query], Qrels]:
    """Queries of two kinds, answered better by default than by words."""
    chance = np.random.default_rng(11)
    rankings, queries, qrels = {}, [], {}
    for number in range(count):
        query = Query(f"{'prq' if number % 3 else 'faq'}-{number}", f"text {number}", "test")
        ids = [f"d{document}" for document in chance.permutation(300)[:150]]
        grades = {name: int(chance.integers(0, 3)) for name in ids[:20]} | {ids[0]: 1}
        for mode, noise in (("bm25", 2.0), ("default", 1.0)):
            scores = {name: grades.get(name, 0) + float(chance.normal(0, noise)) for name in ids}
            ranked = sorted(ids, key=lambda name: -scores[name])
            rankings[query.text, mode] = [Hit(name, scores[name]) for name in ranked]
        queries.append(query)
        qrels[query.id] = grades
    return KnownEngine(rankings), queries, qrels


def test_the_report_is_what_trec_eval_says_of_the_same_run() -> None:
    engine, queries, qrels = judged_at_random(40)
    told = evaluate(engine, queries, qrels).as_json()
    for mode in ("bm25", "default"):
        run = {}
        for query in queries:
            hits = engine.search(query.text, top_k=100, mode=mode).hits
            run[query.id] = {hit.id: hit.score for hit in hits}
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "recip_rank", "recall"})
        theirs = evaluator.evaluate(run)
        for group in ("all", "prq", "faq"):
            some = [row for key, row in theirs.items() if group in {"all", key.split("-")[0]}]
            ours = told[mode][group]
            assert ours["queries"] == len(some)
            for name, oracle in zip(
                NAMES, ("ndcg_cut_10", "recip_rank", "recall_100"), strict=True
            ):
                assert ours[name] == pytest.approx(np.mean([row[oracle] for row in some]))


def test_a_machine_finds_the_keys_that_it_was_promised() -> None:
    engine, queries, qrels = judged_at_random(30)
    told = evaluate(engine, queries, qrels).as_json()
    assert {"bm25", "default", "p50_ms", "p99_ms"} <= told.keys()
    assert told["bm25"].keys() == told["default"].keys() == told["significance"].keys()
    assert told["default"]["all"].keys() == {*NAMES, "queries"}
    assert told["significance"]["all"].keys() == {"difference", "low", "high", "p"}
    assert told["significance"]["all"]["p"] < 0.05
    assert told["index"] == {"name": "known", "version": 3, "documents": 1000}
    assert 0 <= told["p50_ms"] <= told["p99_ms"]


def test_the_gain_is_of_default_over_words() -> None:
    engine, queries, qrels = judged_at_random(30)
    told = evaluate(engine, queries, qrels).as_json()
    for group, gain in told["significance"].items():
        difference = told["default"][group]["ndcg@10"] - told["bm25"][group]["ndcg@10"]
        assert gain["difference"] == pytest.approx(difference)
        assert gain["low"] < gain["difference"] < gain["high"]


def test_scores_are_of_the_first_hundred_and_times_of_the_first_ten() -> None:
    engine, queries, qrels = judged_at_random(5)
    report = evaluate(engine, queries, qrels)
    for_scores, timed = engine.asked[:10], engine.asked[10:]
    assert [asked[1:] for asked in for_scores] == [(100, "bm25"), (100, "default")] * 5
    assert {asked[1:] for asked in timed} == {(10, "default")}
    assert len(report.timing.taken_ms) == TIMED_MIN
    assert report.timing.stages_p50_ms == {"embed": 1.0, "lexical": 0.2, "rank": 0.3}


def test_queries_without_a_relevant_document_are_left_out_and_counted() -> None:
    engine, queries, qrels = judged_at_random(6)
    more = [Query("prq-none", "never asked"), Query("prq-zero", "never asked either")]
    qrels["prq-zero"] = {"d1": 0}
    steps: list[tuple[str, int, int | None]] = []
    report = evaluate(engine, queries + more, qrels, progress=lambda *step: steps.append(step))
    assert report.unjudged == 2
    assert report.bm25["all"].queries == 6
    assert steps == [("searching", number, 8) for number in range(1, 9)]


def test_ids_that_have_no_kinds_are_one_group() -> None:
    engine, queries, qrels = judged_at_random(KINDS_MAX + 1)
    named = [Query(f"{number}-x", query.text) for number, query in enumerate(queries)]
    grades = {new.id: qrels[old.id] for new, old in zip(named, queries, strict=True)}
    assert evaluate(engine, named, grades).default.keys() == {"all"}


def test_a_kind_called_all_does_not_replace_all() -> None:
    engine, queries, qrels = judged_at_random(4)
    named = [Query(f"all-{number}", query.text) for number, query in enumerate(queries[:2])]
    grades = {new.id: qrels[old.id] for new, old in zip(named, queries, strict=False)}
    report = evaluate(engine, named + queries[2:], {**qrels, **grades})
    assert report.default["all"].queries == 4


def test_judgements_of_other_queries_are_refused() -> None:
    engine, queries, _ = judged_at_random(3)
    with pytest.raises(DataInvalid, match="None of the queries has a relevant document"):
        evaluate(engine, queries, {"other": {"d1": 1}})


def test_a_trec_run_has_our_order_whatever_reads_it() -> None:
    hits = [Hit("b", 1.0), Hit("c", 1.0), Hit("a", 1.0 - 1e-12), Hit("d", -0.5), Hit("e", -0.5)]
    file = io.StringIO()
    TrecRun(file, "farthing").write(Query("q", "text"), hits)
    file.seek(0)
    lines = [line.split() for line in file]
    assert [line[2] for line in lines] == [hit.id for hit in hits]
    assert [line[3] for line in lines] == ["1", "2", "3", "4", "5"]
    file.seek(0)
    run = pytrec_eval.parse_run(file)
    order = sorted(run["q"], key=lambda name: (-np.float32(run["q"][name]), name))
    assert order == [hit.id for hit in hits]
    first_only = pytrec_eval.RelevanceEvaluator({"q": {"b": 1}}, {"recip_rank"}).evaluate(run)
    assert first_only["q"]["recip_rank"] == 1


@pytest.mark.parametrize("wrong", [Hit("a b", 1.0), Hit("", 1.0)])
def test_an_id_that_would_shift_a_runs_columns_is_refused(wrong: Any) -> None:
    with pytest.raises(DataInvalid, match="space"):
        TrecRun(io.StringIO(), "farthing").write(Query("q", "text"), [wrong])
