"""How many numbers a model has learnt."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from onnx import GraphProto, NodeProto

# Shapes, axes and token ids are integers of 32 or 64 bits: no parameters.
LEARNT_TYPES = {
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.DOUBLE,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT4,
    TensorProto.UINT4,
}
# Inputs of an operator that only tell how to read another input: scales and zero points.
READING_AIDS = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "DynamicQuantizeMatMul": (2, 3),
    "MatMulInteger": (2, 3),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "MatMulNBits": (2, 3),
    "GatherBlockQuantized": (2, 3),
}


def count_parameters(model: Path) -> int:
    """Elements of the weights, biases and tables in an ONNX file, as a float32 model has them.

    Counted are constants of at least two elements, of floating-point or 4- to 8-bit type, and
    lists of numbers in a node's attributes, where scikit-learn's exporter keeps coefficients. A
    quantised weight counts as its elements; its scales and zero points, which repeat part of
    them, do not. Row scales of a table are known by being one column wide or by the name's end,
    "scales".
    """
    graph = onnx.load(model).graph
    constants = dict(_constants(graph))
    aids = {name for node in graph.node for name in _aids(node, constants)}
    packed = {node.input[1]: _elements_of_blocks(node) for node in graph.node if _is_blocks(node)}
    elements: int = sum(
        packed.get(name, prod(tensor.dims))
        for name, tensor in constants.items()
        if tensor.data_type in LEARNT_TYPES and prod(tensor.dims) > 1 and name not in aids
    )
    listed = sum(len(attribute.floats) for node in graph.node for attribute in node.attribute)
    return elements + listed


def _constants(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], attribute.t


def _aids(node: NodeProto, constants: Mapping[str, TensorProto]) -> Iterator[str]:
    for at in READING_AIDS.get(node.op_type, ()):
        if at < len(node.input):
            yield node.input[at]
    if node.op_type == "Gather" and node.input[0] in constants:
        dims = constants[node.input[0]].dims
        if node.input[0].endswith("scales") or (len(dims) == 2 and dims[1] == 1):
            yield node.input[0]


def _is_blocks(node: NodeProto) -> bool:
    return bool(node.op_type == "MatMulNBits")


def _elements_of_blocks(node: NodeProto) -> int:
    """Rows times columns: below eight bits a stored byte holds more than one."""
    sizes = {attribute.name: attribute.i for attribute in node.attribute}
    return int(sizes["K"] * sizes["N"])
