"""Linear support vector machines, and their margins for texts that they have not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold
from sklearn.svm import LinearSVC

if TYPE_CHECKING:
    from collections.abc import Sequence

DoubleArray = npt.NDArray[np.float64]
LabelIds = npt.NDArray[np.int64]

# What a machine says of a label that it has never seen: surely not.
NEVER = -1.0


@dataclass(frozen=True)
class Separators:
    """One hyperplane per label: `weights` [n-grams, labels] and `bias` [labels]."""

    weights: DoubleArray
    bias: DoubleArray

    def margins(self, features: Any) -> DoubleArray:
        """How far each row of the sparse `features` is on each label's side, [rows, labels]."""
        result: DoubleArray = features @ self.weights + self.bias
        return result


def fit_separators(features: Any, label_ids: LabelIds, labels: int, seed: int) -> Separators:
    """One-against-rest machines for `labels` labels; those without a row are `NEVER` chosen."""
    seen = np.unique(label_ids)
    weights = np.zeros((features.shape[1], labels))
    bias = np.full(labels, NEVER)
    if len(seen) == 1:
        bias[seen] = -NEVER
        return Separators(weights, bias)
    machine = LinearSVC(C=1.0, random_state=seed).fit(features, label_ids)
    coefficients, intercepts = machine.coef_, machine.intercept_
    if len(seen) == 2:
        # One hyperplane parts two labels; the first label is on its negative side.
        coefficients = np.concatenate([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    weights[:, seen] = coefficients.T
    bias[seen] = intercepts
    return Separators(weights, bias)


def held_out_margins(
    features: Any,
    label_ids: LabelIds,
    texts: Sequence[str],
    labels: int,
    *,
    folds: int,
    seed: int,
) -> DoubleArray:
    """Margins of the training rows, each by machines that saw neither it nor a row of its text.

    The n-grams and their weights are those of all rows; only the hyperplanes are fitted anew.
    """
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(text, len(numbers)) for text in texts]
    folds = min(folds, len(numbers))
    margins = np.empty((len(label_ids), labels))
    for seen, unseen in GroupKFold(folds).split(features, label_ids, groups):
        separators = fit_separators(features[seen], label_ids[seen], labels, seed)
        margins[unseen] = separators.margins(features[unseen])
    return margins
