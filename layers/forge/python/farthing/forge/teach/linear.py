"""A linear teacher: soft labels from character n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.recipe import TeacherPlan

FloatArray = npt.NDArray[np.float32]


def linear_classifier(seed: int) -> Pipeline:
    """TF-IDF over `char_wb` 2- to 5-grams and a linear SVM, not yet fitted."""
    return make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
        LinearSVC(C=1.0, random_state=seed),
    )


class LinearTeacher:
    """A linear classifier fitted on all training rows, with calibrated probabilities.

    `soft_labels` [rows, labels] are its probabilities for the training rows themselves. Each row
    is judged by a model that saw neither it nor a row with the same text, so the soft labels
    tell where the given labels are doubtful instead of repeating them.
    """

    def __init__(self, train: LabelledSet, labels: tuple[str, ...], plan: TeacherPlan) -> None:
        ids = np.array(train.label_ids(labels))
        texts = np.array(train.texts, dtype=object)
        _, groups = np.unique(texts.astype(str), return_inverse=True)
        margins: npt.NDArray[Any] = cross_val_predict(
            linear_classifier(plan.seed),
            texts,
            ids,
            groups=groups,
            cv=GroupKFold(plan.folds),
            method="decision_function",
        )
        margins = _as_columns(margins)
        # Platt scaling for many classes: a logistic regression on the margins.
        self._scaler = LogisticRegression(C=1.0, max_iter=1000).fit(margins, ids)
        self._classifier = linear_classifier(plan.seed).fit(texts, ids)
        self.soft_labels: FloatArray = self._scaler.predict_proba(margins).astype(np.float32)

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities for any texts, [texts, labels]."""
        margins = _as_columns(self._classifier.decision_function(list(texts)))
        result: FloatArray = self._scaler.predict_proba(margins).astype(np.float32)
        return result


def _as_columns(margins: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[rows, columns]: with two labels a linear SVM gives one margin a row, in a flat array."""
    return margins.reshape(len(margins), -1)
