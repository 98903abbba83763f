"""What an index learns from judged queries, and what it does not fall for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost

from farthing.indexing.evaluation.queries import Qrels, Query
from farthing.indexing.training import train
from farthing.indexing.training.choosing import choose, choose_dense_rows
from farthing.indexing.training.learners import as_trees, learn, learn_trees
from farthing.indexing.training.samples import Sample, collect, usable
from farthing.search.manifest import decode_manifest
from farthing.search.ranking import FEATURES
from farthing.tables.chunk import DataInvalid
from tests.search.engines import MEANINGS, MeaningEmbedder, make_index, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.search.manifest import IndexManifest

COLOURS = ("red", "blue", "green", "grey", "black", "white")
THINGS = ("refrigerator", "sofa", "tv", "kettle", "lamp", "chair", "desk")


def shop() -> tuple[dict[str, str], list[Query], Qrels]:
    """Things that queries call by another name, among titles that repeat the colour instead."""
    titles, queries, qrels = {}, [], {}
    for colour in COLOURS:
        for thing in THINGS:
            name = MEANINGS.get(thing, thing)
            right, wrong = f"{colour}-{thing}-right", f"{colour}-{thing}-wrong"
            titles[right] = f"{name} model in {colour} for the home"
            titles[wrong] = f"{colour} {colour} paint"
            query = Query(f"shop-{colour}{thing}", f"{colour} {thing}")
            queries.append(query)
            qrels[query.id] = {right: 1}
    return titles, queries, qrels


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "index"
    titles, queries, qrels = shop()
    make_index(folder, titles)
    train(folder, MeaningEmbedder(), queries, qrels)
    return folder


def manifest_of(folder: Path) -> IndexManifest:
    return decode_manifest((folder / "manifest.json").read_bytes(), "manifest")


def ndcg(folder: Path, queries: list[Query], qrels: Qrels, mode: str = "default") -> float:
    engine = open_engine(folder)
    total = 0.0
    for query in queries:
        hits = engine.search(query.text, mode=mode).hits
        (right,) = qrels[query.id]
        total += sum(1 / np.log2(place + 2) for place, hit in enumerate(hits) if hit.id == right)
    return total / len(queries)


def test_an_index_ranks_better_for_what_it_has_learned(taught: Path) -> None:
    _, queries, qrels = shop()
    assert ndcg(taught, queries, qrels) > ndcg(taught, queries, qrels, "bm25") + 0.1


def test_what_was_learned_is_the_next_version_with_its_figures(taught: Path) -> None:
    manifest = manifest_of(taught)
    assert manifest.version == 2
    assert manifest.ranking is not None
    assert (taught / "ranking" / manifest.ranking.file).is_file()
    report = manifest.ranking.report
    assert report["queries"] == len(COLOURS) * len(THINGS)
    assert report["gain_over_bm25"] > 0
    figures = report["ndcg@10_cross_validated"]
    assert figures[report["chosen"]]["all"] > figures["bm25"]["all"]
    assert list(figures) == [
        "bm25",
        "fusion",
        "linear",
        "linear + fusion",
        "trees",
        "trees + linear",
    ]


def test_the_same_queries_teach_the_same(taught: Path, tmp_path: Path) -> None:
    titles, queries, qrels = shop()
    make_index(tmp_path / "again", titles)
    entry = train(tmp_path / "again", MeaningEmbedder(), queries, qrels)
    assert entry == manifest_of(taught).ranking


def test_an_index_may_learn_anew(taught: Path, tmp_path: Path) -> None:
    _, queries, qrels = shop()
    shutil.copytree(taught, tmp_path / "again")
    entry = train(tmp_path / "again", MeaningEmbedder(), queries[:30], qrels)
    assert manifest_of(tmp_path / "again").version == 3
    assert manifest_of(tmp_path / "again").ranking == entry
    assert entry.report["queries"] == 30


def test_too_few_queries_teach_nothing_and_change_nothing(tmp_path: Path) -> None:
    titles, queries, qrels = shop()
    make_index(tmp_path / "index", titles)
    before = (tmp_path / "index" / "manifest.json").read_bytes()
    with pytest.raises(DataInvalid, match=r"19 can be learned from.*20 are needed"):
        train(tmp_path / "index", MeaningEmbedder(), queries[:19], qrels)
    assert (tmp_path / "index" / "manifest.json").read_bytes() == before


def test_progress_comes_to_its_end(tmp_path: Path) -> None:
    titles, queries, qrels = shop()
    make_index(tmp_path / "index", titles)
    told: dict[str, tuple[int, int | None]] = {}
    train(
        tmp_path / "index",
        MeaningEmbedder(),
        queries,
        qrels,
        lambda stage, done, total: told.__setitem__(stage, (done, total)),
    )
    assert list(told) == ["asking", "learning"]
    assert all(done == total for done, total in told.values())


def test_only_the_queries_to_train_with_are_read() -> None:
    queries = [Query("a-1", "x", "train"), Query("a-2", "y", "test"), Query("a-3", "z", "valid")]
    qrels = {query.id: {"d": 1} for query in queries}
    assert [query.id for query in usable(queries, qrels, set).queries] == ["a-1"]


def test_judgements_of_what_is_not_in_the_index_are_left_out_and_counted() -> None:
    queries = [Query("1", "x"), Query("2", "y"), Query("3", "z")]
    qrels = {"1": {"here": 1, "gone": 2}, "2": {"gone": 1}, "4": {"other": 1}}
    found = usable(queries, qrels, lambda ids: {"here"} & set(ids))
    assert [query.id for query in found.queries] == ["1"]
    assert found.qrels["1"] == {"here": 1}
    assert (found.unjudged, found.unknown_documents) == (2, 1)


def test_samples_know_what_recall_missed(tmp_path: Path) -> None:
    make_index(tmp_path / "index", {"a": "red fridge", "b": "blue couch", "c": "grey lamp"})
    engine = open_engine(tmp_path / "index")
    words, both = collect(engine, Query("q", "red settee"), {"a": 1, "b": 2}, (0, 50))
    assert (words.found, both.found) == (0.5, 1.0)
    ideal = 2 + 1 / np.log2(3)
    assert words.ideal == both.ideal == pytest.approx(ideal)
    assert words.ndcg(words.bm25) == pytest.approx(1 / ideal)
    assert both.table.shape == (3, len(FEATURES))


def scores(**found: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in found.items()}


def test_the_simplest_of_equals_is_chosen() -> None:
    kinds = ["prq"] * 50
    equal = [0.5] * 50
    assert choose(scores(bm25=equal, fusion=equal, trees=equal), kinds) == "bm25"
    better = [0.6] * 50
    hardly = [0.6, 0.6001] * 25
    assert choose(scores(bm25=equal, fusion=better, trees=better), kinds) == "fusion"
    assert choose(scores(bm25=equal, fusion=better, trees=hardly), kinds) == "trees"


def test_a_gain_that_one_query_makes_is_not_enough() -> None:
    equal = [0.5] * 50
    lucky = [*equal[:-2], 1.0, 0.2]
    assert choose(scores(bm25=equal, trees=lucky), ["x"] * 50) == "bm25"


def test_what_harms_one_kind_of_query_is_not_chosen() -> None:
    kinds = ["prq"] * 40 + ["faq"] * 40
    bm25 = [0.5] * 80
    harms = [0.45] * 40 + [0.9] * 40
    helps = [0.5] * 40 + [0.6] * 40
    assert choose(scores(bm25=bm25, fusion=harms, trees=harms), kinds) == "bm25"
    assert choose(scores(bm25=bm25, fusion=harms, trees=helps), kinds) == "trees"
    # Of nineteen queries of a kind nothing is known.
    assert choose(scores(bm25=bm25[-59:], fusion=harms[21:]), kinds[21:]) == "fusion"


def sample(found: float) -> Sample:
    nothing = np.zeros(0, np.float32)
    table = np.zeros((0, len(FEATURES)), np.float32)
    return Sample("", nothing, nothing, False, table, nothing, found, 1.0)


def test_rows_by_vector_come_along_where_they_find_more() -> None:
    assert choose_dense_rows({0: [sample(0.8)], 50: [sample(0.81)]}) == 0
    assert choose_dense_rows({0: [sample(0.7)], 50: [sample(0.8)]}) == 50


def random_samples(count: int) -> list[Sample]:
    chance = np.random.default_rng(3)
    made = []
    for number in range(count):
        rows = int(chance.integers(1, 60))
        table = chance.normal(size=(rows, len(FEATURES))).astype(np.float32)
        grades = (table[:, 3] + table[:, 7] ** 2 > 1.5).astype(np.float32)
        made.append(
            Sample(
                kind="",
                bm25=table[:, 0],
                cosines=table[:, 1],
                asks_numbers=number % 2 == 0,
                table=table,
                grades=grades,
                found=1.0,
                ideal=max(1.0, float(grades.sum())),
            )
        )
    return made


def test_trees_as_plain_numbers_say_what_xgboost_says() -> None:
    chance = np.random.default_rng(0)
    table = chance.normal(size=(500, len(FEATURES))).astype(np.float32)
    labels = (table[:, 2] * table[:, 5] > 0).astype(np.float32)
    data = xgboost.DMatrix(table, labels, qid=np.repeat(np.arange(10), 50))
    for depth in (1, 3, 6):
        booster = xgboost.train({"objective": "rank:ndcg", "max_depth": depth}, data, 20)
        ours = as_trees(bytes(booster.save_raw("json"))).evaluate(table)
        theirs = booster.predict(xgboost.DMatrix(table), output_margin=True)
        assert ours - ours.mean() == pytest.approx(theirs - theirs.mean(), abs=1e-4)


def test_every_kind_of_ranker_learns_what_matters() -> None:
    samples = random_samples(60)
    unseen = random_samples(80)[60:]
    rankers = learn(samples)
    means = {
        name: np.mean([one.ndcg(ranker.scores(one)) for one in unseen])
        for name, ranker in rankers.items()
    }
    assert means["linear"] > means["bm25"] + 0.1
    assert means["trees"] > means["linear"]


def test_queries_of_which_nothing_was_found_can_be_learned_with() -> None:
    lost = sample(0.0)
    assert learn_trees([lost, *random_samples(5)]).roots
    assert set(learn([lost, *random_samples(5)])) >= {"linear", "trees"}
