"""Parameters are counted alike in float32 and under every scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from farthing.forge.evaluate.parameters import count_parameters
from farthing.forge.export.graph import Graph
from farthing.forge.quantise.schemes import QuantisationPlan, quantise

if TYPE_CHECKING:
    from pathlib import Path

PIECES, WIDTH, LABELS = 2000, 32, 5
WANTED = PIECES * WIDTH + WIDTH * LABELS + LABELS


@pytest.fixture(scope="module")
def graph() -> Graph:
    """A table, a matrix and a bias, with a shape constant that is no parameter."""
    random = np.random.default_rng(0)
    weights = {
        "table": random.normal(size=(PIECES, WIDTH)).astype(np.float32),
        "matrix": random.normal(size=(WIDTH, LABELS)).astype(np.float32),
        "bias": random.normal(size=LABELS).astype(np.float32),
        "axes": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", LABELS])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    return Graph(model)


@pytest.mark.parametrize(
    "plan",
    [
        QuantisationPlan(scheme="none"),
        QuantisationPlan(scheme="per-token", bits=7),
        QuantisationPlan(scheme="dynamic"),
        QuantisationPlan(scheme="block-wise", block=16),
    ],
    ids=lambda plan: plan.scheme,
)
def test_a_scheme_changes_no_number_of_parameters(
    graph: Graph, plan: QuantisationPlan, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    quantise(graph, plan).save(file)
    assert count_parameters(file) == WANTED


def test_coefficients_in_a_nodes_attributes_count(tmp_path: Path) -> None:
    node = helper.make_node(
        "LinearClassifier",
        ["features"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[0.5] * 12,
        intercepts=[0.1] * 3,
        classlabels_ints=[0, 1, 2],
    )
    model = helper.make_model(
        helper.make_graph(
            [node],
            "linear",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["texts", 4])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["texts", 3])],
        )
    )
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    assert count_parameters(file) == 12 + 3


def test_scales_of_table_rows_in_a_single_dimension_do_not_count(tmp_path: Path) -> None:
    values = {
        "rows": np.ones((6, 3), dtype=np.int8),
        "row_scales": np.ones(6, dtype=np.float32),
        "idf": np.ones(6, dtype=np.float32),
        "one": np.ones(1, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gather", [name, "input_ids"], [f"text_{name}"])
        for name in ("rows", "row_scales", "idf")
    ]
    model = helper.make_model(
        helper.make_graph(
            [*nodes, helper.make_node("Add", ["text_idf", "one"], ["sum"])],
            "hashed",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["ngrams"])],
            [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["ngrams"])],
            [numpy_helper.from_array(value, name) for name, value in values.items()],
        )
    )
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    assert count_parameters(file) == 6 * 3 + 6
