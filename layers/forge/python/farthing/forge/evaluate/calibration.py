"""Whether a probability of 0.8 is right eight times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 15


class Bin(msgspec.Struct, frozen=True):
    """Rows whose best probability is above `low` and at most `high`; means are 0 without rows."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def reliability(
    confidences: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], bins: int = BINS
) -> tuple[Bin, ...]:
    """Bins of equal width from 0 to 1, empty ones too.

    :param confidences: probability of the answer that was given, [rows], 0..1.
    :param right: whether that answer was right, [rows].
    """
    # Above the lower bound and at most the upper: 1.0 belongs to the last bin.
    numbers = np.clip(np.ceil(confidences.astype(np.float64) * bins) - 1, 0, bins - 1).astype(int)
    found = []
    for number in range(bins):
        inside = numbers == number
        rows = int(inside.sum())
        found.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                rows=rows,
                confidence=float(confidences[inside].mean()) if rows else 0.0,
                accuracy=float(right[inside].mean()) if rows else 0.0,
            )
        )
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error, 0..1: the mean distance of accuracy from confidence.

    Each bin weighs its rows: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of
    Modern Neural Networks" (2017), equation 3; they use 15 bins.
    """
    rows = sum(entry.rows for entry in bins)
    gaps = sum(entry.rows * abs(entry.accuracy - entry.confidence) for entry in bins)
    return gaps / rows if rows else 0.0
