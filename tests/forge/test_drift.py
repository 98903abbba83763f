"""Drift as it is measured and told: nothing that is there may be called nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("onnx")

from farthing.forge.evaluate.quality import Drift, drift, rounded
from farthing.forge.plans import DriftPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXTS = [f"text {number}" for number in range(200)]


class Model:
    """Gives each text a vector of its own, moved by a little where its company is such."""

    dims = 4

    def __init__(self, is_moved_by: Callable[[Sequence[str]], bool]) -> None:
        self._is_moved_by = is_moved_by

    def prepare(self, texts: Sequence[str]) -> SimpleNamespace:
        return SimpleNamespace(texts=texts)

    def compute(self, work: SimpleNamespace, *, batch_texts: int | None) -> np.ndarray:
        assert len(work.texts) % (batch_texts or 1) == 0
        rows = np.array([[len(text), 1, 2, ord(text[-1])] for text in work.texts], np.float32)
        if batch_texts and batch_texts > 1 and self._is_moved_by(work.texts):
            rows[:, 1] += np.float32(3e-7)
        return rows


@pytest.mark.parametrize(
    "is_moved_by",
    [
        lambda texts: len(texts) == 2,
        lambda texts: len(texts) == 8,
        lambda texts: len(texts) == 32,
        lambda texts: max(map(len, texts)) > 40 > min(map(len, texts)),
    ],
    ids=["two", "eight", "thirty-two", "lengths far apart"],
)
def test_company_of_any_size_and_length_is_tried(
    is_moved_by: Callable[[Sequence[str]], bool],
) -> None:
    found = drift(Model(is_moved_by), TEXTS, DriftPlan(texts=192))  # type: ignore[arg-type]
    assert 0 < found.max_abs_difference < 1e-6
    assert found.is_zero


def test_a_model_that_heeds_no_company_has_none() -> None:
    found = drift(Model(lambda texts: False), TEXTS, DriftPlan(texts=192))  # type: ignore[arg-type]
    assert (found.max_abs_difference, found.labels_changed) == (0.0, 0)


def test_a_difference_is_not_rounded_to_nothing() -> None:
    told = rounded(Drift(1000, 32, 0, 0.9999999999996865, 4.172325134277344e-07))
    assert told == {
        "texts": 1000,
        "batch": 32,
        "labels_changed": 0,
        "min_cosine": 1.0,
        "max_abs_difference": 4.17e-07,
    }
    assert rounded(Drift(1000, 32, 0, 1.0, 0.0))["max_abs_difference"] == 0
