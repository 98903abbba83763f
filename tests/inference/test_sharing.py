"""Which texts may share a run, by what a bundle's manifest says was measured."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from farthing.inference.bundle import BatchDrift, Bundle
from farthing.inference.tasks import open_task

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("measured", "sharing"),
    [
        ({"max_abs_difference": 0.0}, "padded"),
        ({"max_abs_difference": 4e-7}, "equal"),
        ({}, "equal"),
        ({"max_abs_difference": 0.0, "labels_changed": 1}, "alone"),
        ({"max_abs_difference": 0.01, "min_cosine": 0.99}, "alone"),
        ({"max_abs_difference": -1.0, "min_cosine": -1.0}, "alone"),
    ],
)
def test_texts_share_as_far_as_no_bit_was_seen_to_change(
    measured: dict[str, float], sharing: str
) -> None:
    fields = {"texts": 1000, "batch": 32, "labels_changed": 0, "min_cosine": 1.0} | measured
    assert msgspec.convert(fields, BatchDrift).sharing == sharing


@pytest.mark.parametrize(
    ("name", "sharing"),
    [
        ("all-minilm-l6-v2", "padded"),
        ("product-classifier", "padded"),
        ("retail-banking-intents", "equal"),
    ],
)
def test_the_bundles_that_ship_say_what_is_true_of_them(
    name: str, sharing: str, models_dir: Path
) -> None:
    model = open_task(Bundle.open(models_dir / name))
    assert model.sharing == sharing
    words = ["card", "why was my", "samsung", "55 inch", "transfer", "exchange rate", "lens"]
    generator = random.Random(3)
    texts = [" ".join(generator.choices(words, k=generator.randint(1, 12))) for _ in range(96)]
    prepared = model.prepare(texts).texts
    alone = np.concatenate([model.run([text]) for text in prepared])
    padded = np.concatenate([model.run(prepared[at : at + 8]) for at in range(0, 96, 8)])
    assert np.array_equal(alone, padded) == (sharing == "padded")
    order = sorted(range(96), key=lambda at: len(prepared[at].ids))
    for at in range(95):
        first, second = prepared[order[at]], prepared[order[at + 1]]
        if len(first.ids) == len(second.ids):
            together = model.run([first, second])
            np.testing.assert_array_equal(together, alone[order[at : at + 2]])
