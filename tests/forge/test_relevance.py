"""An encoder learns from judged searches, and says what it cannot learn from."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import msgspec
import pytest

pytest.importorskip("torch")

from rich.progress import Progress

from farthing.forge.plans import RelevancePlan, Source, TrainingPlan
from farthing.forge.recipe import DataFiles, Recipe
from farthing.forge.relevance.judged import read_judged
from farthing.forge.workshop import Workshop
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = ("white", "black", "silver")
# What people call things, and what shops do.
NAMES = {"phone": "camera", "fridge": "freezer", "machine": "washing"}


def write(folder: Path, name: str, head: str, rows: list[tuple[str, ...]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in [tuple(head.split()), *rows])
    (folder / name).write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RelevancePlan:
    """Things asked for under one name and sold under another; models are numbered."""
    monkeypatch.setenv("FARTHING_DATA", str(tmp_path))
    documents, queries, qrels = [], [], []
    for number in range(16):
        for colour in COLOURS:
            for asked, sold in NAMES.items():
                doc = f"{sold}-{colour}-{number}"
                documents.append((doc, f"{colour} {sold} {number}", ""))
                query = f"{asked}-{colour}-{number}"
                split = "test" if number == 0 else "train"
                queries.append((query, f"{colour} {asked} {number}", split))
                qrels.append((query, doc, "1"))
    write(tmp_path, "docs.tsv.gz", "id title text", documents)
    write(tmp_path, "queries.tsv.gz", "query_id query split", queries)
    write(tmp_path, "qrels.tsv.gz", "query_id doc_id grade", qrels)
    return RelevancePlan(
        documents="docs.tsv.gz",
        id="id",
        texts=("title", "text"),
        queries="queries.tsv.gz",
        qrels="qrels.tsv.gz",
        negatives=5,
    )


def recipe_of(plan: RelevancePlan, tiny: Path) -> Recipe:
    return Recipe(
        name="shop-embedder",
        task="embed",
        pooling="mean",
        normalize=True,
        max_tokens=16,
        licence="Apache-2.0",
        licence_file="Apache-2.0.txt",
        origin="made for a test",
        notice="",
        source=Source(path=str(tiny)),
        data=DataFiles(name="shop", test="docs.tsv.gz", text="title"),
        relevance=plan,
        training=TrainingPlan(epochs=8, batch=16, learning_rate=1e-3),
    )


def test_queries_of_other_splits_are_kept_for_the_truth(shop: RelevancePlan) -> None:
    judged = read_judged(shop)
    seen = {search.query for search in (*judged.train, *judged.valid)}
    assert len(seen) == 15 * 9
    assert not {query for query in seen if query.endswith(" 0")}
    assert not {one.query for one in judged.train} & {one.query for one in judged.valid}


def test_misleading_documents_share_words_and_answer_nothing(shop: RelevancePlan) -> None:
    judged = read_judged(shop)
    for search in judged.train:
        assert len(search.misleading) == 5
        assert not set(search.relevant) & set(search.misleading)
        words = set(search.query.split())
        assert words & set(judged.documents[search.misleading[0]].split())


def test_an_encoder_comes_to_find_what_is_sold_under_another_name(
    shop: RelevancePlan, tiny: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(shop, tiny)
    with Progress(disable=True) as progress:
        workshop = Workshop(recipe, tmp_path / "cache", progress)
        assert not workshop.is_trained()
        history = workshop.history()
        assert workshop.is_trained()
        folder = workshop.bundle()
    accuracies = [epoch.accuracy for epoch in history.epochs]
    # One answer among five misleading documents: 0.41 by chance.
    assert accuracies[-1] > 0.65 > accuracies[0]
    assert (folder / "manifest.json").is_file()


def test_other_judgements_give_other_weights(
    shop: RelevancePlan, tiny: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(shop, tiny)
    with Progress(disable=True) as progress:
        before = Workshop(recipe, tmp_path / "cache", progress)._student_folder("")
        plan = msgspec.structs.replace(shop, temperature=0.1)
        colder = Workshop(recipe_of(plan, tiny), tmp_path / "cache", progress)
        assert colder._student_folder("") != before
        rows = gzip.decompress((tmp_path / "qrels.tsv.gz").read_bytes()).splitlines(keepends=True)
        (tmp_path / "qrels.tsv.gz").write_bytes(gzip.compress(b"".join(rows[:-1])))
        assert Workshop(recipe, tmp_path / "cache", progress)._student_folder("") != before


def test_too_few_judged_queries_are_refused(shop: RelevancePlan, tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv.gz").write_bytes(gzip.compress(b"query_id\tdoc_id\tgrade\n"))
    with pytest.raises(DataInvalid, match=r"has 0 queries of the split train with a judged"):
        read_judged(shop)


def test_only_an_embedder_without_students_learns_so(shop: RelevancePlan, tiny: Path) -> None:
    recipe = recipe_of(shop, tiny)
    with pytest.raises(ValueError, match=r"\[relevance\] is for an embedder"):
        msgspec.structs.replace(recipe, task="classify", data=DataFiles(
            name="shop", test="t", train="t", text="title", label="id"
        ))  # fmt: skip
