"""The shipped models, through the code that serves them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Classifier, Embedder, open_task

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def classifier(models_dir: Path) -> Classifier:
    model = open_task(Bundle.open(models_dir / "product-classifier"))
    assert isinstance(model, Classifier)
    return model


@pytest.fixture(scope="module")
def embedder(models_dir: Path) -> Embedder:
    model = open_task(Bundle.open(models_dir / "all-minilm-l6-v2"))
    assert isinstance(model, Embedder)
    return model


def golden(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((DATA / name).read_text())
    return values


def test_vectors_are_close_to_those_of_the_f32_model(embedder: Embedder) -> None:
    reference = golden("golden-minilm-f32.json")
    expected = np.array(reference["vectors"], dtype=np.float32)
    cosines = (embedder.vectors(reference["texts"]) * expected).sum(axis=1)
    assert cosines.min() >= 0.97
    assert cosines.mean() >= 0.99


def test_vectors_have_length_one(embedder: Embedder) -> None:
    vectors = embedder.vectors(["a", "red chair", "x " * 500])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_synonym_is_nearer_than_a_stranger(embedder: Embedder) -> None:
    sofa, couch, drill = embedder.vectors(["leather sofa", "leather couch", "cordless drill"])
    assert sofa @ couch > sofa @ drill


def test_every_category_is_recognised(classifier: Classifier) -> None:
    titles = {
        "canon eos 2000d digital slr camera body": "Digital Cameras",
        "intel core i7 8700k 3.7ghz socket 1151": "CPUs",
        "samsung galaxy s9 64gb unlocked mobile phone": "Mobile Phones",
        "lg 55 inch 4k ultra hd smart led tv": "TVs",
        "bosch serie 4 freestanding dishwasher white": "Dishwashers",
    }
    labels = [classifier.labels[row.argmax()] for row in classifier.scores(list(titles))]
    assert labels == list(titles.values())


def test_classifier_labels_agree_with_those_of_float32(classifier: Classifier) -> None:
    reference = golden("golden-classifier-f32.json")
    expected = np.array(reference["logits"], dtype=np.float32)
    scores = classifier.scores(reference["texts"])
    assert (scores.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("task", ["classifier", "embedder"])
def test_an_answer_does_not_depend_on_its_neighbours(
    task: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(task)
    texts = golden("golden-minilm-f32.json")["texts"]
    alone = np.concatenate([model.compute(model.prepare([text])) for text in texts])
    for seed in range(5):
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        together = model.compute(model.prepare([texts[index] for index in order]))
        np.testing.assert_allclose(together, alone[order], atol=2e-6)


def test_texts_beyond_the_window_are_cut_and_counted(classifier: Classifier) -> None:
    long, short = "fridge freezer " * 300, "fridge freezer"
    work = classifier.prepare([long, short])
    assert work.truncated == 1
    assert work.tokens == classifier.manifest.max_tokens + work.texts[1].tokens


@pytest.mark.parametrize(
    "text", ["\x00", "\u200b", "🛋️", "沙发", "a" * 5000, "\u202ekcalb", "e\u0301", "¿?"]
)
def test_strange_texts_get_finite_answers(
    text: str, classifier: Classifier, embedder: Embedder
) -> None:
    assert np.isfinite(classifier.scores([text])).all()
    assert np.isfinite(embedder.vectors([text])).all()


def test_a_batch_that_evaluation_asks_for_is_run_whole(classifier: Classifier) -> None:
    long_texts = ["fridge freezer stainless steel " * 40] * 32
    batches: list[int] = []
    work = classifier.prepare(long_texts)
    classifier.compute(work, batch_texts=32, before_batch=batches.append)
    assert batches == [work.tokens]


def test_the_bundles_own_batches_are_bounded_by_tokens(embedder: Embedder) -> None:
    batches: list[int] = []
    texts = ["fridge freezer stainless steel " * 40] * 8 + ["red fridge"] * 40
    work = embedder.prepare(texts)
    embedder.compute(work, before_batch=batches.append)
    assert sum(batches) == work.tokens
    assert max(batches) <= 512
    assert len(batches) < len(texts)


def test_the_share_of_unknown_tokens_tells_foreign_texts(embedder: Embedder) -> None:
    assert embedder.unknown_share(["red fridge freezer", "a"]) == 0
    assert embedder.unknown_share(["red 🛋️🛋️", "🛋️"]) == pytest.approx(2 / 3)
    assert embedder.unknown_share([""]) == 0
