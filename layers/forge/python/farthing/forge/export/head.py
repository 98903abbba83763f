"""A classifier's head on an encoder's graph: mean of the tokens, length 1, one product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph

FloatArray = npt.NDArray[np.float32]
MASK, LOGITS = "attention_mask", "logits"


def append_head(graph: Graph, weight: FloatArray, bias: FloatArray) -> None:
    """Makes `logits` [batch, labels] the graph's only output, in place.

    The mean need not be divided by the number of tokens, since the sum's length is made 1 anyway.
    The product stays in float32: it is small and the closest to the answer.

    :param weight: [labels, width].
    """
    hidden = graph.model.graph.output[0].name
    first = graph.shared_constant("head/axis_1", np.array([1], dtype=np.int64))
    last = graph.shared_constant("head/last_axis", np.array([-1], dtype=np.int64))
    weight_name = graph.add_constant("head/weight", weight.T)
    bias_name = graph.add_constant("head/bias", bias)
    real, row, summed, total, length, unit = (
        graph.fresh(f"head/{part}") for part in ("real", "row", "summed", "sum", "length", "unit")
    )
    graph.nodes += [
        graph.node("Cast", [MASK], [real], to=TensorProto.FLOAT),
        graph.node("Unsqueeze", [real, first], [row]),
        graph.node("MatMul", [row, hidden], [summed]),
        graph.node("Squeeze", [summed, first], [total]),
        graph.node("ReduceL2", [total, last], [length], keepdims=1),
        graph.node("Div", [total, length], [unit]),
        graph.node("Gemm", [unit, weight_name, bias_name], [LOGITS]),
    ]
    del graph.model.graph.output[:]
    graph.model.graph.output.append(
        helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", len(bias)])
    )
