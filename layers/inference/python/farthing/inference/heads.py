"""From the model's raw output to vectors and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def mean_pool(hidden: Floats, mask: NDArray[np.int64]) -> Floats:
    """Mean over the tokens that the mask keeps: [batch, tokens, dims] to [batch, dims]."""
    weights = mask[:, :, None].astype(np.float32)
    pooled: Floats = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return pooled


def first_token(hidden: Floats) -> Floats:
    """The vector of the first ([CLS]) token: [batch, tokens, dims] to [batch, dims]."""
    return hidden[:, 0]


def unit_length(vectors: Floats) -> Floats:
    """Rows scaled to L2 norm 1; a zero row stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    scaled: Floats = vectors / np.maximum(norms, np.float32(1e-12))
    return scaled


def softmax(logits: Floats) -> Floats:
    """Rows of probabilities that sum to 1; shifted by the row's maximum so exp stays finite."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities
