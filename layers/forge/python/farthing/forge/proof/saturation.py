"""A product that tells which kernel computed it.

Processors without VNNI multiply bytes by VPMADDUBSW, which adds two neighbouring products of
uint8 and int8 into 16 bits and saturates: 255 · 127 · 2 = 64,770 becomes 32,767. ONNX Runtime's
page "Quantize ONNX models" names it as the reason for 7-bit weights. Only such a processor gets
this product wrong, so an emulated one that is right does not run the kernel it stands for.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

ROWS = 64
COLUMNS = 32


def largest_product() -> ModelProto:
    """A graph from `x`, uint8 [rows, 64], to its product with int8 weights that are all 127."""
    weight = np.full((ROWS, COLUMNS), 127, dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight"], ["y"])],
        "saturation",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", COLUMNS])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
