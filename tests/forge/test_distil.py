"""A tiny student learns a tiny task, the same way twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from rich.progress import Progress  # noqa: E402

from farthing.forge.data.labelled import LabelledSet  # noqa: E402
from farthing.forge.distil.training import FineTuning, seed_everything, truncated_student  # noqa: E402
from farthing.forge.distil.variants import variants  # noqa: E402
from farthing.forge.distil.vocabulary import bare_tokenizer, prune, used_ids  # noqa: E402
from farthing.forge.pretrained import Pretrained  # noqa: E402
from farthing.forge.recipe import TeacherPlan, TrainingPlan  # noqa: E402
from farthing.forge.teach.linear import LinearTeacher  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = LabelledSet(
    texts=tuple(
        f"{colour} {thing} {number}"
        for thing in ("fridge", "phone")
        for colour in ("white", "black", "silver")
        for number in range(20)
    ),
    labels=("Fridges",) * 60 + ("Phones",) * 60,
)
LABELS = ROWS.label_names()
PLAN = TrainingPlan(
    seed=1,
    threads=1,
    epochs=3,
    batch=16,
    learning_rate=3e-3,
    warmup_share=0.1,
    weight_decay=0.01,
    variants_share=0.5,
    digit_change_share=0.5,
    bfloat16=False,
)


@pytest.fixture(scope="module")
def teacher() -> LinearTeacher:
    return LinearTeacher(ROWS, LABELS, TeacherPlan(seed=0, folds=3, weight=0.5))


def trained(tiny: Path, teacher: LinearTeacher) -> tuple[list[float], np.ndarray]:
    full = bare_tokenizer(tiny / "tokenizer.json")
    keep = used_ids(full, ROWS.texts)
    seed_everything(PLAN.seed, PLAN.threads)
    student = truncated_student(Pretrained(tiny), 1, keep, 16, LABELS)
    with Progress(disable=True) as progress:
        epochs = FineTuning(student, prune(full, keep), ROWS, teacher, 0.5, 16, PLAN).run(
            ROWS, progress
        )
    return [epoch.accuracy for epoch in epochs], student.classifier.weight.detach().numpy()


def test_a_student_learns_and_a_second_run_gives_the_same_weights(
    tiny: Path, teacher: LinearTeacher
) -> None:
    accuracies, first = trained(tiny, teacher)
    _, second = trained(tiny, teacher)
    assert accuracies[-1] > 0.95
    np.testing.assert_array_equal(first, second)


def test_a_student_is_only_as_large_as_its_plan(tiny: Path) -> None:
    student = truncated_student(Pretrained(tiny), 1, [0, 2, 3, 4, 5, 9], 16, LABELS)
    assert len(student.bert.encoder.layer) == 1
    assert student.bert.embeddings.word_embeddings.weight.shape == (6, 64)
    assert student.bert.embeddings.position_embeddings.weight.shape == (16, 64)


def test_soft_labels_are_probabilities_in_the_order_of_the_labels(teacher: LinearTeacher) -> None:
    np.testing.assert_allclose(teacher.soft_labels.sum(axis=1), 1, atol=1e-5)
    assert (teacher.soft_labels.argmax(axis=1) == ROWS.label_ids(LABELS)).mean() > 0.95
    assert teacher.probabilities(["white fridge"]).argmax() == LABELS.index("Fridges")


def test_variants_are_parts_of_real_texts() -> None:
    made = variants(["bosch kgn39 white fridge"], 50, random.Random(0), digit_change_share=0.0)
    assert len(made) == 50
    assert len(set(made)) > 5
    assert all(set(text.split()) <= {"bosch", "kgn39", "white", "fridge"} for text in made)
    assert all(made)
