"""The linear model as an ONNX graph over counted n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from farthing.forge.export.graph import Graph
from farthing.forge.quantise.weights import symmetric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto, NodeProto

FloatArray = npt.NDArray[np.float32]

OPSET = 18
IR_VERSION = 8
# Keeps the length of a text without known n-grams, which is 0, from dividing 0.
SHORTEST = np.float32(1e-12)


def linear_graph(weights: FloatArray, idf: FloatArray, bias: FloatArray) -> Graph:
    """Counts of n-grams to logits [batch, labels], with a weight row of INT8 per n-gram.

    Inputs are int64 `input_ids` and float32 `counts`, both [batch, longest]; id 0 stands for no
    n-gram, and id i for row i - 1 of `weights` [n-grams, labels] and of `idf` [n-grams]. Each row
    has its own scale: n-grams tell very unequal amounts, and one scale for each label changed
    ten times as much of the probabilities. All sums are in float32, and a text's own whatever
    shares its batch.
    """
    rounded, scales = symmetric(_below_a_zero(weights), axis=1)
    graph = Graph(_empty_model(weights.shape[1]))
    rows = graph.add_constant("rows", rounded)
    row_scales = graph.add_constant("row_scales", scales[:, 0])
    idfs = graph.add_constant("idf", _below_a_zero(idf))
    one = graph.add_constant("one", np.array(1, np.float32))
    shortest = graph.add_constant("shortest", np.array(SHORTEST))
    labels_bias = graph.add_constant("bias", bias)
    ngrams_axis = graph.add_constant("ngrams_axis", np.array([1], np.int64))
    steps: Sequence[tuple[str, list[str], str]] = (
        # tf-idf: (1 + ln count) * idf, 0 where there is no n-gram
        ("Log", ["counts"], "log_counts"),
        ("Add", ["log_counts", one], "tf"),
        ("Gather", [idfs, "input_ids"], "text_idf"),
        ("Mul", ["tf", "text_idf"], "tfidf"),
        ("ReduceL2", ["tfidf", ngrams_axis], "length"),
        ("Max", ["length", shortest], "divisor"),
        # [batch, 1, longest] x [batch, longest, labels] -> [batch, 1, labels]
        ("Gather", [row_scales, "input_ids"], "text_scales"),
        ("Mul", ["tfidf", "text_scales"], "amounts"),
        ("Unsqueeze", ["amounts", ngrams_axis], "amounts_row"),
        ("Gather", [rows, "input_ids"], "text_rows_int8"),
        ("Cast", ["text_rows_int8"], "text_rows"),
        ("MatMul", ["amounts_row", "text_rows"], "sums_row"),
        ("Squeeze", ["sums_row", ngrams_axis], "sums"),
        ("Div", ["sums", "divisor"], "products"),
        ("Add", ["products", labels_bias], "logits"),
    )
    graph.nodes = [_node(graph, *step) for step in steps]
    return graph


def _node(graph: Graph, op_type: str, inputs: list[str], output: str) -> NodeProto:
    attributes = {"Cast": {"to": TensorProto.FLOAT}}.get(op_type, {})
    return graph.node(op_type, inputs, [output], **attributes)


def _below_a_zero(values: FloatArray) -> FloatArray:
    """The rows one place further down, below one of zeros: the row of `NO_NGRAM`."""
    return np.concatenate([np.zeros_like(values[:1]), values]).astype(np.float32)


def _empty_model(labels: int) -> ModelProto:
    inputs = [
        helper.make_tensor_value_info(name, kind, ["batch", "longest"])
        for name, kind in (("input_ids", TensorProto.INT64), ("counts", TensorProto.FLOAT))
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
    return helper.make_model(
        helper.make_graph([], "linear", inputs, [output]),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="farthing.forge",
    )
