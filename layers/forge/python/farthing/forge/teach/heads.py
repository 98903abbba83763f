"""A linear head on sentence vectors: the part of a frozen teacher that is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = npt.NDArray[np.float32]

ITERATIONS_MAX = 1000


@dataclass(frozen=True)
class Head:
    """`weight` [width, labels] and `bias` [labels]."""

    weight: FloatArray
    bias: FloatArray

    def logits(self, vectors: FloatArray) -> FloatArray:
        """[texts, labels]; their softmax is the probabilities."""
        result: FloatArray = vectors @ self.weight + self.bias
        return result


def fit_head(vectors: FloatArray, label_ids: Sequence[int], labels: int, c: float) -> Head:
    """A logistic regression over `labels` classes with inverse regularisation `c`.

    A class without a row in this part gets a bias that no text overcomes.
    """
    ids = np.asarray(label_ids)
    # One thread: the products are small, and threads that wait for each other took 20 times as
    # long beside another busy process.
    with threadpool_limits(1):
        fitted = LogisticRegression(C=c, max_iter=ITERATIONS_MAX).fit(vectors, ids)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:
        # Two classes have one row of coefficients: the logit of the second over the first.
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight = np.zeros((vectors.shape[1], labels), dtype=np.float32)
    bias = np.full(labels, intercepts.min() - 20, dtype=np.float32)
    weight[:, fitted.classes_] = coefficients.T
    bias[fitted.classes_] = intercepts
    return Head(weight, bias)


def out_of_fold(
    vectors: FloatArray,
    label_ids: Sequence[int],
    texts: Sequence[str],
    labels: int,
    *,
    c: float,
    folds: int,
) -> FloatArray:
    """Logits of the training rows, each by a head that saw neither it nor a row of the same text.

    They tell where the given labels are doubtful, where a head's own would repeat them.
    """
    _, groups = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    ids = np.asarray(label_ids)
    folds = min(folds, int(groups.max()) + 1)
    result = np.empty((len(ids), labels), dtype=np.float32)
    for seen, unseen in GroupKFold(folds).split(vectors, ids, groups):
        head = fit_head(vectors[seen], ids[seen].tolist(), labels, c)
        result[unseen] = head.logits(vectors[unseen])
    return result
