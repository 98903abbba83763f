"""Heads against arithmetic written out."""

import math

import numpy as np

from farthing.inference.heads import first_token, mean_pool, softmax, unit_length

HIDDEN = np.array([[[1, 2], [3, 4], [100, 100]], [[5, 6], [7, 8], [9, 10]]], dtype=np.float32)


def test_the_mean_leaves_masked_tokens_out() -> None:
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    assert mean_pool(HIDDEN, mask).tolist() == [[2, 3], [7, 8]]


def test_the_first_token_is_the_first() -> None:
    assert first_token(HIDDEN).tolist() == [[1, 2], [5, 6]]


def test_unit_length_divides_by_the_norm_and_spares_zero() -> None:
    rows = unit_length(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_softmax_sums_to_one_and_survives_large_logits() -> None:
    rows = softmax(np.array([[1000, 1000 - math.log(3)], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.75, 0.25], [0.5, 0.5]], rtol=1e-4)
