"""How right the answers are, label by label, and how they compare with the teacher's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from farthing.forge.evaluate.calibration import Bin, calibration_error, reliability
from farthing.forge.evaluate.errors import Unmeasurable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.forge.data.labelled import LabelledSet

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
CONFIDENCE = 0.95
POINTS = 100


class ClassScores(msgspec.Struct, frozen=True):
    """One label that occurs in the rows; `recall_lost_points` is the teacher's recall less ours.

    Shares are 0..1, points are hundredths of 1. What needs a teacher is None without one.
    """

    label: str
    rows: int
    precision: float
    recall: float
    f1: float
    teacher_recall: float | None
    recall_lost_points: float | None


class Scores(msgspec.Struct, frozen=True):
    """Shares, 0..1, over the rows in scope: those with any label but the out-of-scope one.

    `classes` count all rows, so an out-of-scope text that is taken for a label costs that label
    precision; `macro_f1` is the mean F1 of the labels in scope. `accuracy_low` and
    `accuracy_high` bound the accuracy with 95 % confidence. `unknown_labels` occur in the rows
    but cannot be answered: their rows count as wrong. `right` has one character for each row in
    scope, 1 where the answer was right. `rows_digest` tells whether two scores are about the
    same rows. What needs a teacher is None without one.
    """

    rows: int
    rows_digest: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    calibration_error: float
    out_of_scope_rows: int
    out_of_scope_recall: float | None
    teacher_accuracy: float | None
    teacher_share: float | None
    teacher_agreement: float | None
    unknown_labels: tuple[str, ...]
    unknown_label_rows: int
    classes: tuple[ClassScores, ...]
    reliability: tuple[Bin, ...]
    right: str


def score(
    probabilities: FloatArray,
    labels: Sequence[str],
    rows: LabelledSet,
    *,
    out_of_scope: str = "",
    teacher_answers: Sequence[str] | None = None,
) -> Scores:
    """What answers with these probabilities are worth.

    :param probabilities: [rows, labels], columns as in `labels`.
    :param out_of_scope: the label of texts that belong to none; empty if there is none.
    :param teacher_answers: the teacher's label for each row.
    :raises Unmeasurable: if no row is in scope, none has a label that can be answered, or the
        numbers of rows differ.
    """
    _check(probabilities, labels, rows, teacher_answers)
    wanted = np.array(rows.labels, dtype=object)
    given = named(probabilities, labels)
    teacher = None if teacher_answers is None else np.array(teacher_answers, dtype=object)
    inside: BoolArray = wanted != out_of_scope
    if not inside.any():
        raise Unmeasurable(
            f"All {len(rows)} rows have the out-of-scope label {out_of_scope!r}, so there is no "
            "accuracy. Give rows with other labels, too."
        )
    right: BoolArray = given == wanted
    bins = reliability(probabilities.max(axis=1)[inside], right[inside])
    classes = _classes(wanted, given, teacher)
    low, high = accuracy_interval(int(right[inside].sum()), int(inside.sum()))
    accuracy = float(right[inside].mean())
    theirs = None if teacher is None else float((teacher == wanted)[inside].mean())
    unknown = np.isin(wanted.astype(str), list(labels), invert=True)
    return Scores(
        rows=int(inside.sum()),
        rows_digest=rows_digest(rows),
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=float(np.mean([entry.f1 for entry in classes if entry.label != out_of_scope])),
        calibration_error=calibration_error(bins),
        out_of_scope_rows=int((~inside).sum()),
        out_of_scope_recall=None if inside.all() else float(right[~inside].mean()),
        teacher_accuracy=theirs,
        teacher_share=accuracy / theirs if theirs else None,
        teacher_agreement=None if teacher is None else float((teacher == given)[inside].mean()),
        unknown_labels=tuple(sorted(set(wanted[unknown].tolist()))),
        unknown_label_rows=int(unknown.sum()),
        classes=classes,
        reliability=bins,
        right="".join("1" if hit else "0" for hit in right[inside]),
    )


def named(scores: FloatArray, labels: Sequence[str]) -> npt.NDArray[np.object_]:
    """The label with the highest score of each row, [rows]; the first of equals."""
    names: npt.NDArray[np.object_] = np.array(labels, dtype=object)[scores.argmax(axis=1)]
    return names


def accuracy_interval(right: int, rows: int) -> tuple[float, float]:
    """Bounds of a share with 95 % confidence, for `rows` of 1 or more.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    interval = binomtest(right, rows).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def rows_digest(rows: LabelledSet) -> str:
    """12 hex digits over texts and labels in their order."""
    return hashlib.sha256(msgspec.json.encode((rows.texts, rows.labels))).hexdigest()[:12]


def worst_classes(scores: Scores, count: int) -> list[ClassScores]:
    """The `count` labels that lost most recall against the teacher, worst first.

    Without a teacher those with the lowest recall; among equals, those with more rows.
    """

    def badness(entry: ClassScores) -> tuple[float, float, str]:
        lost = entry.recall_lost_points
        return (-lost if lost is not None else entry.recall, -entry.rows, entry.label)

    return sorted(scores.classes, key=badness)[:count]


def _classes(
    wanted: npt.NDArray[np.object_],
    given: npt.NDArray[np.object_],
    teacher: npt.NDArray[np.object_] | None,
) -> tuple[ClassScores, ...]:
    occurring = sorted(set(wanted.tolist()))
    precision, recall, f1, support = precision_recall_fscore_support(
        wanted, given, labels=occurring, average=None, zero_division=0.0
    )
    entries = []
    for at, label in enumerate(occurring):
        of_label = wanted == label
        theirs = None if teacher is None else float((teacher[of_label] == label).mean())
        entries.append(
            ClassScores(
                label=label,
                rows=int(support[at]),
                precision=float(precision[at]),
                recall=float(recall[at]),
                f1=float(f1[at]),
                teacher_recall=theirs,
                recall_lost_points=(
                    None if theirs is None else (theirs - float(recall[at])) * POINTS
                ),
            )
        )
    return tuple(entries)


def _check(
    probabilities: FloatArray,
    labels: Sequence[str],
    rows: LabelledSet,
    teacher_answers: Sequence[str] | None,
) -> None:
    if not len(rows):
        raise Unmeasurable("An accuracy was asked for, but there are no rows. Give labelled rows.")
    if len(probabilities) != len(rows) or probabilities.shape[1] != len(labels):
        raise Unmeasurable(
            f"{len(rows)} rows and {len(labels)} labels need as many answers; these are "
            f"{' × '.join(map(str, probabilities.shape))}. Compute them for these very rows."
        )
    if teacher_answers is not None and len(teacher_answers) != len(rows):
        raise Unmeasurable(
            f"The teacher answered {len(teacher_answers)} rows, but there are {len(rows)}. "
            "Give its logits for these very rows."
        )
    if not set(rows.labels) & set(labels):
        raise Unmeasurable(
            f"No row has a label that the model knows: the rows have {_some(set(rows.labels))}, "
            f"the model has {_some(set(labels))}. Choose the label column that it was trained on."
        )


def _some(labels: set[str]) -> str:
    shown = ", ".join(sorted(labels)[:5])
    return f"{shown} and {len(labels) - 5} more" if len(labels) > 5 else shown
