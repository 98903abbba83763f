"""One quantised product, by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from farthing.forge.export.graph import Graph  # noqa: E402
from farthing.forge.quantise.products import PerToken, quantise_products  # noqa: E402
from farthing.forge.quantise.weights import symmetric  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

WEIGHT = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
ROWS = np.random.default_rng(1).normal(size=(1, 5, 64)).astype(np.float32)


def product(rows: Any, bits: int = 8) -> Any:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", 32])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    edited = Graph(model)
    assert quantise_products(edited, PerToken(), bits) == 1
    raw = edited.finished().SerializeToString()
    return ort.InferenceSession(raw, providers=["CPUExecutionProvider"]).run(None, {"x": rows})[0]


@pytest.mark.parametrize(("bits", "most"), [(8, 0.02), (7, 0.03)])
def test_a_product_is_near_its_float32_value(
    bits: int, most: float, need_exact_sums: Callable[[int], None]
) -> None:
    need_exact_sums(bits)
    wanted = ROWS @ WEIGHT
    assert np.abs(product(ROWS, bits) - wanted).max() < most * np.abs(wanted).max()


def test_a_row_of_zeros_gives_zeros() -> None:
    rows = ROWS.copy()
    rows[0, 2] = 0
    given = product(rows)
    np.testing.assert_array_equal(given[0, 2], np.zeros(32))
    np.testing.assert_array_equal(given[0, 3], product(ROWS)[0, 3])


def test_a_huge_neighbour_changes_nothing() -> None:
    rows = ROWS.copy()
    rows[0, 0] *= 1e6
    np.testing.assert_array_equal(product(rows)[0, 1:], product(ROWS)[0, 1:])


def test_seven_bits_stay_within_63_and_scales_broadcast() -> None:
    rounded, scales = symmetric(WEIGHT, axis=0, bits=7)
    assert np.abs(rounded).max() == 63
    assert scales.shape == (1, 32)
    assert np.abs(rounded * scales - WEIGHT).max() <= scales.max() / 2 + 1e-6
