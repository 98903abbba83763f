"""The model card says what a reader needs, and its recipe is the recipe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest

pytest.importorskip("onnx")
pytest.importorskip("tomli_w")

from farthing.forge.data.checks import DataReport
from farthing.forge.data.files import FileFacts
from farthing.forge.pack.card import Card, WorstClass, card_text, write_card
from farthing.forge.pack.recipe_text import recipe_text
from farthing.forge.recipe import Recipe, find, shipped

if TYPE_CHECKING:
    from pathlib import Path


def data_report() -> DataReport:
    return DataReport(
        name="shop",
        files={
            "train": FileFacts("shop/train.tsv", 100, "a" * 64),
            "test": FileFacts("shop/test.tsv", 50, "b" * 64),
        },
        rows={"train": 900, "valid": 100, "test": 250},
        labels=2,
        rows_per_label_min=400,
        rows_per_label_max=500,
        empty_texts=0,
        duplicates=0,
        conflicting_texts=0,
        overlap=3,
        overlap_share=0.012,
        long_texts=0,
        unseen_label_rows=0,
        left_out={},
        warnings=("Test rows whose text is also in the training rows: 3 of 250 (1.2%).",),
    )


def card(recipe: Recipe | None = None, **changes: object) -> Card:
    full = Card(
        recipe=recipe or find("product-classifier"),
        digest="d" * 64,
        kind="a linear model on character n-grams inside words, 8-bit weights",
        labels=("Freezers", "Mobile|Phones"),
        figures=(("accuracy (250 rows)", "0.9900"), ("size, MB", "1.20")),
        teacher="The teacher is all-mpnet-base-v2, frozen.",
        teacher_figures=(("size, MB", "438.00"),),
        choice="char_wb wins: the cheapest of 3 candidates.",
        classes=(WorstClass("Freezers", 40, 0.9, 0.875, 0.887, 2.5),),
        proof=("x86-64-avx2: 300 of 300 labels equal.", "aarch64: NOT RUN, so nothing is proven."),
        limits=("6.0% of the texts' tokens are unknown to the model.",),
        data=data_report(),
        receipt="e" * 64,
    )
    return msgspec.structs.replace(full, **changes)


def test_a_card_says_what_was_measured_on_what_and_what_was_not() -> None:
    text = card_text(card())
    for said in (
        "| accuracy (250 rows) | 0.9900 |  |",
        "| size, MB | 1.20 | 438.00 |",
        "| Freezers | 40 | 0.900 | 0.875 | 0.887 | +2.5 |",
        "char\\_wb wins",
        f"`{'e' * 64}`",
        "aarch64: NOT RUN",
        "6.0% of the texts' tokens are unknown",
        f"| train | shop/train.tsv | 900 | `{'a' * 64}` |",
        "| valid | held out of train | 100 |",
        "also in the training rows: 3 of 250",
        "licence: CC BY 4.0",
        "first 128 tokens are read",
        "farthing forge build product-classifier\n",
        "farthing invoke classify 'your text' --model product-classifier",
        "Mobile\\|Phones",
    ):
        assert said in text, said
    for sentence in find("product-classifier").limits.split(". "):
        assert " ".join(sentence.split()) in text


def test_a_card_without_proof_says_that_nothing_was_tried_elsewhere() -> None:
    text = card_text(card(proof=(), classes=(), data=None, receipt="", teacher_figures=()))
    assert "No processor but the one that measured was tried." in text
    assert "## Processors" not in text
    assert "| what | this bundle |\n" in text


def test_an_embedders_card_speaks_of_vectors() -> None:
    text = card_text(card(find("all-minilm-l6-v2"), labels=(), classes=()))
    assert "Turns texts into vectors" in text
    assert "farthing invoke embed" in text
    assert "Every text gets one of the labels" not in text


@pytest.mark.parametrize("name", shipped())
def test_the_recipe_reads_back_as_itself(name: str) -> None:
    recipe = find(name)
    assert msgspec.toml.decode(recipe_text(recipe), type=Recipe) == recipe
    found = re.search(r"^(`{3,})toml\n(.*?)^\1$", card_text(card(recipe)), re.DOTALL | re.MULTILINE)
    assert found is not None
    assert msgspec.toml.decode(found[2], type=Recipe).digest() == recipe.digest()


def test_a_recipe_of_ones_own_is_built_from_its_file() -> None:
    recipe = msgspec.structs.replace(
        find("product-classifier"), name="mine", notice='Quotes """ and\n```fences``` and \\ signs'
    )
    text = card_text(card(recipe))
    assert "farthing forge build mine.toml" in text
    assert "````toml" in text
    assert msgspec.toml.decode(recipe_text(recipe), type=Recipe) == recipe


def test_the_same_card_has_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_card(tmp_path / folder, card())
    written = (tmp_path / "a" / "README.md").read_bytes()
    assert written == (tmp_path / "b" / "README.md").read_bytes()
    assert b"\r" not in written
