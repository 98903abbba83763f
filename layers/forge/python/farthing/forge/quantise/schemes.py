"""The quantisation schemes, each by name: a float32 graph in, an INT8 graph out.

    none         float32, as a reference
    per-token    INT8 weights, one activation scale per token
    dynamic      INT8 weights, one activation scale per call
    static       INT8 weights, activation scales fixed by calibration
    block-wise   8-bit weights in blocks, ONNX Runtime's MatMulNBits

All but `none` also store large embedding tables in INT8 with one scale per row. Weights have one
scale per output column; block-wise has one per block of a column.

ONNX Runtime's own `quantize_dynamic` and `quantize_static` stay peers in the tests: they quantise
the exporter's graph, where ours keeps the fused operators, joins query, key and value into one
product, and knows the scale per token, which they do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from farthing.forge.quantise.blocks import quantise_in_blocks
from farthing.forge.quantise.calibrate import Seen, static_scaling
from farthing.forge.quantise.products import PerTensor, PerToken, quantise_products
from farthing.forge.quantise.tables import quantise_tables

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph

# Of 32, 64 and 128 rows the smallest costs 3 % more bytes, and loses least.
BLOCK = 32

SchemeName = Literal["none", "per-token", "dynamic", "static", "block-wise"]


class QuantisationPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A scheme and its choices; a choice that a scheme does not have is left at 0.

    `bits` are those of a weight. `block` is the rows that share a weight scale (block-wise), 32 if
    it is 0. `calibration`, `outside_share` (its `range`) and `smoothing_strength` (static) are
    explained in `calibrate`. `float_after_gelu` (static) leaves products in float32 whose input
    is a GELU.
    `qat_epochs` (per-token) is how many of the last epochs train under `qat.fake_quantised`.
    """

    scheme: SchemeName
    bits: int = 8
    block: int = 0
    calibration: Literal["range", "entropy"] = "range"
    outside_share: float = 0.0
    smoothing_strength: float = 0.0
    float_after_gelu: bool = False
    qat_epochs: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.qat_epochs and self.scheme != "per-token":
            raise ValueError(
                f"qat_epochs rounds as the scheme per-token does, the scheme is {self.scheme}; "
                "choose per-token or leave qat_epochs out"
            )

    @property
    def is_drift_free(self) -> bool:
        """Whether an answer cannot depend on its batch: no scale reaches over several texts.

        Of block-wise only the measurement can tell: its operator has other kernels for other
        numbers of rows, and with blocks of 128 a text's vector moved by a cosine of 0.9994.
        """
        return self.scheme in ("none", "per-token", "static")


def quantise(graph: Graph, plan: QuantisationPlan, seen: dict[str, Seen] | None = None) -> Graph:
    """A quantised copy of `graph`.

    :param seen: calibration of this graph by `calibrate.observe`; only `static` needs it.
    :raises ValueError: if `static` is asked for without calibration.
    """
    result = graph.copy()
    if plan.scheme == "none":
        return result
    if plan.scheme == "block-wise":
        quantise_in_blocks(result, plan.block or BLOCK)
    elif plan.scheme == "per-token":
        quantise_products(result, PerToken(), plan.bits)
    elif plan.scheme == "dynamic":
        quantise_products(result, PerTensor(), plan.bits)
    else:
        if seen is None:
            raise ValueError(
                "Static quantisation was asked for without calibration; "
                "pass what calibrate.observe saw on example texts."
            )
        scaling = static_scaling(
            result,
            seen,
            plan.outside_share,
            plan.smoothing_strength or None,
            by_entropy=plan.calibration == "entropy",
        )
        skip = gelu_outputs(result) if plan.float_after_gelu else frozenset()
        quantise_products(result, scaling, plan.bits, skip)
    quantise_tables(result)
    return result


def gelu_outputs(graph: Graph) -> frozenset[str]:
    """Names of the tensors that come out of a GELU: the activations with the largest outliers."""
    return frozenset(
        node.output[0] for node in graph.nodes if node.op_type in ("Gelu", "BiasGelu", "FastGelu")
    )
