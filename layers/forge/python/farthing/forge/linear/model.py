"""A linear classifier with probabilities: support vectors on TF-IDF, calibrated."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from farthing.errors import StartupError
from farthing.forge.linear.features import fit_features
from farthing.forge.linear.margins import fit_separators, held_out_margins
from farthing.forge.teach.heads import fit_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.feature_extraction.text import TfidfVectorizer

    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.linear.features import LinearKind

FloatArray = npt.NDArray[np.float32]


class NothingToTell(StartupError):
    """A classifier was asked for and there are not two labels to tell apart."""


@dataclass(frozen=True)
class LinearModel:
    """`weights` [n-grams, labels] and `bias` [labels] on the vectoriser's rows give logits.

    `held_out_logits` [rows, labels] are those of the training rows, each from hyperplanes fitted
    without it: they tell where a given label is doubtful, where the model's own repeat it.
    """

    kind: LinearKind
    labels: tuple[str, ...]
    vectoriser: TfidfVectorizer
    weights: FloatArray
    bias: FloatArray
    held_out_logits: FloatArray

    def logits(self, texts: Sequence[str]) -> FloatArray:
        """[texts, labels] in float32; their softmax is the probabilities."""
        result = self.vectoriser.transform(texts) @ self.weights + self.bias
        return np.asarray(result, dtype=np.float32)

    @property
    def parameters(self) -> int:
        """Weights, biases and one inverse document frequency per n-gram."""
        return int(self.weights.size + self.bias.size + len(self.weights))


def fit(
    kind: LinearKind, train: LabelledSet, labels: tuple[str, ...], seed: int, folds: int = 5
) -> LinearModel:
    """The classifier of `train` on character or word n-grams.

    Probabilities come from a logistic regression on the held-out margins: J. Platt,
    "Probabilistic Outputs for Support Vector Machines" (1999), for many labels at once. It sees
    which labels are mistaken for each other, so it is also more often right than the largest
    margin (0.915 and 0.911 on banking77). Being linear itself, it is one matrix with the
    hyperplanes.

    :param labels: every label, in the order of the outputs.
    :param folds: parts into which the rows are cut for that.
    :raises NothingToTell: if `train` has fewer than two labels.
    :raises NoNgrams: if its texts have no n-grams of this kind.
    """
    ids = np.array(train.label_ids(labels), dtype=np.int64)
    if len(np.unique(ids)) < 2:
        raise NothingToTell(
            f"A classifier was asked for, and the training rows have {len(set(train.labels))} "
            "label. Give rows of at least two labels."
        )
    vectoriser, features = fit_features(kind, train.texts)
    held_out = held_out_margins(features, ids, train.texts, len(labels), folds=folds, seed=seed)
    with warnings.catch_warnings():
        # With many labels the last digits of the scale do not settle; nobody can act on that.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scale = fit_head(held_out.astype(np.float32), ids.tolist(), len(labels), c=1.0)
    separators = fit_separators(features, ids, len(labels), seed)
    return LinearModel(
        kind=kind,
        labels=labels,
        vectoriser=vectoriser,
        weights=(separators.weights @ scale.weight).astype(np.float32),
        bias=(separators.bias @ scale.weight + scale.bias).astype(np.float32),
        held_out_logits=scale.logits(held_out.astype(np.float32)),
    )
