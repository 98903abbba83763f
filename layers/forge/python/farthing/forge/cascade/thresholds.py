"""How sure a stage must be: chosen on validation rows for a stated accuracy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from farthing.forge.cascade.errors import CascadeUseless

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# Thresholds are tried in hundredths: finer ones would only fit the rows they are chosen on.
STEPS = 100
# The threshold of a stage that answers nothing.
NEVER = math.inf


class Aim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a cascade must hold: accuracy lost against its last stage at most `loss_max`, with
    `confidence`, and at least `share_min` of the texts answered by its first; all 0..1.
    """

    loss_max: float = 0.002
    confidence: float = 0.9
    share_min: float = 0.6


def choose(
    stages: Sequence[FloatArray], wanted: IntArray, names: Sequence[str], aim: Aim
) -> tuple[float, ...]:
    """A threshold for each stage but the last: the lowest that holds the aim's accuracy.

    A stage's thresholds are tried from 1 downwards, and the first that fails ends it, so that many
    trials do not make one of them pass by luck: A. N. Angelopoulos et al., "Learn then Test"
    (2021), fixed sequence testing. Of several stages the first comes first, and each may use an
    equal part of the loss.

    :param stages: each stage's probabilities for the same rows, [rows, labels].
    :param wanted: the rows' labels by number, -1 for one that no stage knows.
    :raises CascadeUseless: if a stage may not answer anything.
    """
    rights = [probabilities.argmax(axis=1) == wanted for probabilities in stages]
    chosen: list[float] = []
    earlier = len(stages) - 1
    for number in range(earlier):
        loss_max = aim.loss_max * (number + 1) / earlier
        best = NEVER
        for step in range(STEPS, 0, -1):
            later = [NEVER] * (earlier - number - 1)
            at = answered_by(stages, [*chosen, step / STEPS, *later])
            if -least_gain(np.choose(at, rights), rights[-1], aim.confidence) > loss_max:
                break
            best = step / STEPS
        if best == NEVER or not (answered_by(stages, [*chosen, best]) == number).any():
            raise CascadeUseless(
                f"The stage {names[number]} is never so sure that it may answer in the place of "
                f"{names[-1]}: {len(wanted)} validation rows and a loss of {loss_max:.2%} at most. "
                "Leave it out, give more rows, or allow more loss."
            )
        chosen.append(best)
    return tuple(chosen)


def answered_by(stages: Sequence[FloatArray], thresholds: Sequence[float]) -> IntArray:
    """The number of the stage that answers each row, [rows]; what none is sure of, the next one.

    There is one threshold for each of the first stages; the runtime's rule, on whole tables.
    """
    at = np.full(len(stages[0]), len(thresholds), dtype=np.int64)
    for number in range(len(thresholds) - 1, -1, -1):
        # Compared as the runtime does it: in float32.
        at[stages[number].max(axis=1) >= np.float32(thresholds[number])] = number
    return at


def least_gain(
    right: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_], confidence: float
) -> float:
    """The accuracy gained against the reference at least, with this confidence, one-sided.

    Both answer the same rows, so only those count on which they differ: the mean of the
    differences, less its standard error by the normal quantile.
    """
    differences = right.astype(np.float64) - reference
    error = float(differences.std()) / math.sqrt(len(differences))
    return float(differences.mean()) - NormalDist().inv_cdf(confidence) * error
