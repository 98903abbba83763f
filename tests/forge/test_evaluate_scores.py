"""Scores worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

from farthing.forge.data.labelled import LabelledSet
from farthing.forge.evaluate.calibration import BINS, calibration_error, reliability
from farthing.forge.evaluate.errors import Unmeasurable
from farthing.forge.evaluate.scores import accuracy_interval, score

LABELS = ("cat", "dog", "emu")


def rows(*labels: str) -> LabelledSet:
    return LabelledSet(tuple(f"text {at}" for at in range(len(labels))), labels)


def answers(*labels: str, confidence: float = 0.8, names: tuple[str, ...] = LABELS) -> np.ndarray:
    """Probabilities whose best label is the given one."""
    rest = (1 - confidence) / (len(names) - 1)
    table = np.full((len(labels), len(names)), rest, dtype=np.float32)
    for row, label in enumerate(labels):
        table[row, names.index(label)] = confidence
    return table


def test_accuracy_f1_and_each_label() -> None:
    found = score(
        answers("cat", "cat", "dog", "dog", "emu"), LABELS, rows("cat", "cat", "cat", "dog", "emu")
    )
    assert found.accuracy == pytest.approx(4 / 5)
    assert found.right == "11011"
    cat, dog, emu = found.classes
    assert (cat.label, cat.rows, cat.precision) == ("cat", 3, 1.0)
    assert cat.recall == pytest.approx(2 / 3)
    assert cat.f1 == pytest.approx(4 / 5)
    assert (dog.precision, dog.recall, emu.f1) == (0.5, 1.0, 1.0)
    assert found.macro_f1 == pytest.approx((4 / 5 + 2 / 3 + 1) / 3)
    assert found.teacher_accuracy is found.teacher_agreement is cat.recall_lost_points is None


def test_the_loss_against_the_teacher_is_told_by_label_and_overall() -> None:
    wanted = ("cat", "cat", "dog", "dog", "emu")
    found = score(
        answers("cat", "dog", "dog", "dog", "emu"),
        LABELS,
        rows(*wanted),
        teacher_answers=("cat", "cat", "dog", "emu", "emu"),
    )
    assert found.teacher_accuracy == pytest.approx(4 / 5)
    assert found.teacher_share == pytest.approx(1.0)
    assert found.teacher_agreement == pytest.approx(3 / 5)
    lost = {entry.label: entry.recall_lost_points for entry in found.classes}
    assert lost == {"cat": 50.0, "dog": -50.0, "emu": 0.0}


def test_out_of_scope_rows_count_apart() -> None:
    names = (*LABELS, "none")
    found = score(
        answers("cat", "none", "none", "dog", names=names),
        names,
        rows("cat", "dog", "none", "none"),
        out_of_scope="none",
    )
    assert (found.rows, found.accuracy, found.right) == (2, 0.5, "10")
    assert (found.out_of_scope_rows, found.out_of_scope_recall) == (2, 0.5)
    # The text taken for a dog costs that label precision; `none` has no part in the mean.
    assert found.macro_f1 == pytest.approx((1.0 + 0.0) / 2)
    assert found.unknown_labels == ()


def test_a_model_that_does_not_know_the_out_of_scope_label_never_finds_it() -> None:
    found = score(answers("cat", "dog"), LABELS, rows("cat", "none"), out_of_scope="none")
    assert (found.accuracy, found.out_of_scope_recall) == (1.0, 0.0)
    assert (found.unknown_labels, found.unknown_label_rows) == (("none",), 1)


def test_labels_that_the_model_lacks_count_as_wrong() -> None:
    found = score(answers("cat", "dog", "emu"), LABELS, rows("cat", "gnu", "yak"))
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.unknown_labels == ("gnu", "yak")
    assert {entry.label: entry.recall for entry in found.classes} == {
        "cat": 1.0,
        "gnu": 0.0,
        "yak": 0.0,
    }


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        ((), (), "no rows"),
        (("cat",), ("gnu",), "No row has a label that the model knows: the rows have gnu"),
        (("cat", "dog"), ("cat",), r"1 rows and 3 labels need as many answers; these are 2 × 3"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    given: tuple[str, ...], wanted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Unmeasurable, match=message):
        score(answers(*given), LABELS, rows(*wanted))


def test_rows_that_are_all_out_of_scope_have_no_accuracy() -> None:
    with pytest.raises(Unmeasurable, match="All 1 rows have the out-of-scope label 'cat'"):
        score(answers("cat"), LABELS, rows("cat"), out_of_scope="cat")


def test_a_teacher_must_have_answered_these_rows() -> None:
    with pytest.raises(Unmeasurable, match="teacher answered 2 rows, but there are 1"):
        score(answers("cat"), LABELS, rows("cat"), teacher_answers=("cat", "dog"))


def test_scores_tell_which_rows_they_are_about() -> None:
    one = score(answers("cat", "dog"), LABELS, rows("cat", "dog"))
    same = score(answers("dog", "dog"), LABELS, rows("cat", "dog"))
    other = score(answers("cat", "dog"), LABELS, rows("dog", "cat"))
    assert one.rows_digest == same.rows_digest != other.rows_digest


def test_wilsons_interval() -> None:
    # Worked by hand: centre (0.8 + z²/20) / (1 + z²/10), z = 1.959964, half-width 0.226578.
    low, high = accuracy_interval(8, 10)
    assert (low, high) == (pytest.approx(0.490162, abs=1e-6), pytest.approx(0.943318, abs=1e-6))
    assert accuracy_interval(10, 10)[1] == pytest.approx(1.0)
    assert 0 < accuracy_interval(10, 10)[0] < 1


def test_calibration_error_of_two_bins_by_hand() -> None:
    # Three answers at 0.9 of which two are right, one at 0.5 that is right.
    confidences = np.array([0.9, 0.9, 0.9, 0.5])
    right = np.array([True, True, False, True])
    bins = reliability(confidences, right)
    assert len(bins) == BINS
    assert sum(entry.rows for entry in bins) == 4
    wanted = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.5)
    assert calibration_error(bins) == pytest.approx(wanted)


def test_every_probability_has_a_bin() -> None:
    edges = np.array([0.0, 1 / BINS, 1 / BINS + 1e-9, 1.0])
    bins = reliability(edges, np.ones(4, dtype=bool))
    assert [entry.rows for entry in bins] == [2, 1, *[0] * (BINS - 3), 1]
