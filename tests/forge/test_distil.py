"""Tiny students learn tiny tasks from tiny teachers, the same way twice."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from rich.progress import Progress  # noqa: E402

from farthing.forge.batches import token_rows  # noqa: E402
from farthing.forge.distil.classifier import answers, distil_classifier  # noqa: E402
from farthing.forge.distil.losses import attention_loss, given_loss, soft_loss  # noqa: E402
from farthing.forge.distil.sentences import Places, distil_encoder, nearest, vectors  # noqa: E402
from farthing.forge.distil.students import (  # noqa: E402
    NoSuchLayers,
    StudentClassifier,
    chosen_layers,
    parameters,
    student_encoder,
)
from farthing.forge.distil.variants import variants  # noqa: E402
from farthing.forge.distil.vocabulary import bare_tokenizer  # noqa: E402
from farthing.forge.plans import (  # noqa: E402
    DistillationPlan,
    StudentPlan,
    TeacherPlan,
    TrainingPlan,
)
from farthing.forge.pretrained import Pretrained  # noqa: E402
from farthing.forge.teach.teacher import teach  # noqa: E402
from tests.forge.things import recipe_of_things, splits_of, things  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.data.splits import Splits
    from farthing.forge.recipe import Recipe
    from farthing.forge.teach.teaching import Teaching

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = things(20, ("white", "black", "silver"))
LABELS = ROWS.label_names()
EXTRA = ("fridge", "silver phone")
STUDENT = StudentPlan("1-layer", 1)


def recipe(**distillation: float) -> Recipe:
    return recipe_of_things(
        distillation=DistillationPlan(**distillation),
        training=TrainingPlan(
            seed=1, threads=1, epochs=3, batch=16, learning_rate=3e-3, bfloat16=False
        ),
    )


@pytest.fixture(scope="module")
def splits() -> Splits:
    return splits_of(ROWS)


@pytest.fixture(scope="module")
def teaching(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Teaching:
    plan = TeacherPlan(method="linear", folds=3)
    with Progress(disable=True) as progress:
        return teach(recipe(), plan, splits, EXTRA, tmp_path_factory.mktemp("cache"), progress)


def vocabulary_size(tiny: Path) -> int:
    return bare_tokenizer(tiny / "tokenizer.json").get_vocab_size()


def trained(
    tiny: Path, splits: Splits, teaching: Teaching, state: Path, made: Recipe
) -> tuple[float, np.ndarray]:
    with Progress(disable=True) as progress:
        result = distil_classifier(
            made, STUDENT, Pretrained(tiny), splits, EXTRA, teaching, state, progress
        )
    rows = token_rows(result.tokenizer, ROWS.texts, 16)
    return result.history.epochs[-1].accuracy, answers(result.model, rows).logits


def test_a_student_learns_and_a_second_run_gives_the_same_answers(
    tiny: Path, splits: Splits, teaching: Teaching, tmp_path: Path
) -> None:
    accuracy, first = trained(tiny, splits, teaching, tmp_path / "a.pt", recipe())
    _, second = trained(tiny, splits, teaching, tmp_path / "b.pt", recipe())
    assert accuracy > 0.95
    np.testing.assert_array_equal(first, second)


def test_what_begins_at_random_follows_the_seed_whatever_ran_before(
    tiny: Path, splits: Splits, teaching: Teaching, tmp_path: Path
) -> None:
    flat = {name: np.ones((len(part), 7), np.float32) for name, part in teaching.logits.items()}
    with_vectors = replace(teaching, vectors=flat)
    torch.manual_seed(1)
    _, first = trained(tiny, splits, with_vectors, tmp_path / "a.pt", recipe(feature_weight=0.5))
    torch.manual_seed(2)
    _, second = trained(tiny, splits, with_vectors, tmp_path / "b.pt", recipe(feature_weight=0.5))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("weight", ["feature_weight", "attention_weight"])
def test_every_part_of_the_loss_has_a_say(
    tiny: Path, splits: Splits, teaching: Teaching, tmp_path: Path, weight: str
) -> None:
    with_vectors = replace(
        teaching,
        vectors={
            name: np.random.default_rng(0).normal(size=(len(part), 7)).astype(np.float32)
            for name, part in teaching.logits.items()
        },
    )
    _, plain = trained(tiny, splits, with_vectors, tmp_path / "a.pt", recipe())
    accuracy, told = trained(tiny, splits, with_vectors, tmp_path / "b.pt", recipe(**{weight: 0.5}))
    assert accuracy > 0.9
    assert np.abs(plain - told).max() > 1e-3


def test_foreseen_rounding_changes_the_weights(
    tiny: Path, splits: Splits, teaching: Teaching, tmp_path: Path
) -> None:
    made = recipe()
    foreseen = msgspec.structs.replace(
        made, quantisation=msgspec.structs.replace(made.quantisation, qat_epochs=2)
    )
    _, plain = trained(tiny, splits, teaching, tmp_path / "a.pt", made)
    accuracy, aware = trained(tiny, splits, teaching, tmp_path / "b.pt", foreseen)
    assert accuracy > 0.95
    assert not np.array_equal(plain, aware)


def test_a_student_is_only_as_large_as_its_plan(tiny: Path) -> None:
    bert = student_encoder(Pretrained(tiny), (1,), [0, 2, 3, 4, 5, 9], 16)
    student = StudentClassifier(bert, LABELS)
    assert len(student.bert.encoder.layer) == 1
    assert student.bert.embeddings.word_embeddings.weight.shape == (6, 64)
    assert student.bert.embeddings.position_embeddings.weight.shape == (16, 64)
    assert parameters(student) == parameters(bert) + 64 * 2 + 2


@pytest.mark.parametrize("layers", [3, (1, 0), (0, 2), ()])
def test_layers_that_are_not_there_are_named(tiny: Path, layers: int | tuple[int, ...]) -> None:
    with pytest.raises(NoSuchLayers, match="has 0 to 1"):
        chosen_layers(Pretrained(tiny), layers)


def test_soft_loss_is_the_divergence_times_the_temperature_squared() -> None:
    ours, theirs = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[0.5, 0.0, 2.0]])
    temperature = 3.0
    p = np.exp(theirs.numpy() / temperature)
    q = np.exp(ours.numpy() / temperature)
    p, q = p / p.sum(), q / q.sum()
    wanted = temperature**2 * (p * np.log(p / q)).sum()
    assert soft_loss(ours, theirs, temperature).item() == pytest.approx(wanted, rel=1e-5)
    assert soft_loss(theirs, theirs, temperature).item() == pytest.approx(0, abs=1e-6)


def test_rows_without_a_label_have_no_given_loss() -> None:
    scores = torch.tensor([[0.0, 0.0], [9.0, -9.0]])
    assert given_loss(scores, torch.tensor([-1, -1])).item() == 0
    half = given_loss(scores, torch.tensor([0, -1])).item()
    assert half == pytest.approx(np.log(2) / 2, rel=1e-5)


def test_padding_has_no_say_in_the_attention_loss() -> None:
    mask = torch.tensor([[1, 1, 0]])
    ours = torch.softmax(torch.randn(1, 2, 3, 3, generator=torch.manual_seed(0)), -1)
    theirs = ours.clone()
    theirs[:, :, 2] = torch.tensor([1.0, 0.0, 0.0])
    assert attention_loss(ours, theirs, mask).item() == pytest.approx(0, abs=1e-6)
    theirs[:, :, 1] = torch.tensor([1.0, 0.0, 0.0])
    assert attention_loss(ours, theirs, mask).item() > 0.01


def test_an_encoder_comes_to_place_texts_as_its_teacher_does(tiny: Path, tmp_path: Path) -> None:
    teacher = student_encoder(Pretrained(tiny), 2, list(range(vocabulary_size(tiny))), 16)
    tokenizer = bare_tokenizer(tiny / "tokenizer.json")
    placed = Places(ROWS.texts, vectors(teacher, token_rows(tokenizer, ROWS.texts, 16)))
    with Progress(disable=True) as progress:
        made = msgspec.structs.replace(
            recipe(),
            training=TrainingPlan(
                seed=1, threads=1, epochs=8, batch=16, learning_rate=3e-3, bfloat16=False
            ),
        )
        result = distil_encoder(
            made, STUDENT, Pretrained(tiny), placed, placed, tmp_path / "e.pt", progress
        )
    cosines = [epoch.accuracy for epoch in result.history.epochs]
    assert cosines[-1] > 0.9
    assert cosines[-1] > cosines[0]


def test_the_nearest_neighbour_is_never_the_text_itself() -> None:
    places = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert nearest(places).tolist() == [1, 0, 1]


def test_variants_are_parts_of_real_texts() -> None:
    made = variants(["bosch kgn39 white fridge"], 50, random.Random(0), digit_change_share=0.0)
    assert len(made) == 50
    assert len(set(made)) > 5
    assert all(set(text.split()) <= {"bosch", "kgn39", "white", "fridge"} for text in made)
    assert all(made)
