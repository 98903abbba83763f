"""Training that feels the rounding to come: quantisation-aware training of the scheme `per-token`.

In the forward pass weights and activations are rounded as `products` and `tables` will round them;
in the backward pass rounding counts as the identity, the straight-through estimator of Y. Bengio,
N. Léonard, A. Courville, "Estimating or Propagating Gradients Through Stochastic Neurons" (2013),
section 4. Simulated quantisation in training is that of B. Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), section 3.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from farthing.forge.quantise.products import STEPS
from farthing.forge.quantise.tables import SMALLEST_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Layers with fewer outputs stay in float32, see `export.transformer.open_wide_gemms`.
NARROWEST = 64
TABLE_STEPS = 127


@contextlib.contextmanager
def fake_quantised(model: torch.nn.Module, bits: int = 7) -> Iterator[int]:
    """The number of layers that compute, for the time of the block, as the INT8 bundle will.

    Parameters stay what and where they are: an optimizer made before keeps working, a state dict
    taken inside has the usual names, and afterwards the model is as it was. Products are of whole
    numbers up to 127, which bfloat16 holds exactly, so that autocast does not round them twice.

    :param bits: bits of a weight, 7 or 8.
    """
    forwards = {
        layer: partial(forward, layer)
        for layer in model.modules()
        if (forward := _quantised_forward(layer, bits)) is not None
    }
    for layer, forward in forwards.items():
        layer.forward = forward
    try:
        yield len(forwards)
    finally:
        for layer in forwards:
            # What the instance had is gone; the class's own method shows again.
            del layer.forward


def quantised_linear(layer: torch.nn.Linear, rows: torch.Tensor, *, bits: int) -> torch.Tensor:
    """The layer's output [..., outputs] from rows with one scale per token and per output."""
    row_steps = steps(rows, STEPS)
    weight_steps = steps(layer.weight, 2 ** (bits - 1) - 1)
    product = functional.linear(rounded(rows / row_steps), rounded(layer.weight / weight_steps))
    scaled = product * row_steps * weight_steps.squeeze(-1)
    shifted = scaled if layer.bias is None else scaled + layer.bias
    # Under autocast a layer gives what its product is in, and so does this one.
    return shifted.to(product.dtype)


def quantised_lookup(table: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
    """Rows of the table [..., width], each rounded by its own scale."""
    rows = torch.nn.Embedding.forward(table, ids)
    row_steps = steps(rows, TABLE_STEPS)
    return rounded(rows / row_steps) * row_steps


def steps(values: torch.Tensor, limit: int) -> torch.Tensor:
    """The size of one step along the last axis, kept with length 1, so that the largest is `limit`.

    No gradient flows through it: a scale is a measurement, not a weight.
    """
    largest = values.detach().abs().amax(dim=-1, keepdim=True)
    return largest.clamp_min(torch.finfo(largest.dtype).tiny * limit) / limit


def rounded(values: torch.Tensor) -> torch.Tensor:
    """The nearest whole numbers, with the gradient of the values themselves."""
    return values + (values.round() - values).detach()


def _quantised_forward(
    layer: torch.nn.Module, bits: int
) -> Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None:
    if isinstance(layer, torch.nn.Linear) and layer.out_features >= NARROWEST:
        return partial(quantised_linear, bits=bits)
    if isinstance(layer, torch.nn.Embedding) and layer.num_embeddings >= SMALLEST_ROWS:
        return quantised_lookup
    return None
