"""Schemes against ONNX Runtime's own tools, and the choice among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402

from farthing.forge.export.transformer import export  # noqa: E402
from farthing.forge.quantise.calibrate import Seen, observe, token_batches  # noqa: E402
from farthing.forge.quantise.schemes import QuantisationPlan, quantise  # noqa: E402
from farthing.forge.quantise.targets import TARGETS, TargetUnknown, choose  # noqa: E402
from farthing.inference.session import model_inputs  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.export.graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [[3, 6, 7, 12, 9, 4], [3, 8, 4], [3, 11, 10, 30, 31, 32, 4], [3, 15, 4]]


@pytest.fixture(scope="module")
def float32(tiny: Path) -> Graph:
    return export(tiny, heads=4, hidden=64)


def by_onnx(model: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, model_inputs([row]))[0][0] for row in ROWS])


def by_their_tool(float32: Graph, folder: Path, *, reduce_range: bool) -> Any:
    float32.copy().save(folder / "float32.onnx")
    quantize_dynamic(
        folder / "float32.onnx",
        folder / "theirs.onnx",
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return by_onnx(onnx.load(folder / "theirs.onnx"))


def test_dynamic_answers_what_onnx_runtimes_own_tool_answers(
    float32: Graph, tmp_path: Path
) -> None:
    theirs = by_their_tool(float32, tmp_path, reduce_range=False)
    ours = by_onnx(quantise(float32, QuantisationPlan("dynamic")).finished())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_seven_bits_err_as_much_as_onnx_runtimes_reduced_range(
    float32: Graph, tmp_path: Path
) -> None:
    # Not the same answers: their largest weight becomes 64 and ours 63.
    exact = by_onnx(float32.copy().finished())
    theirs = by_their_tool(float32, tmp_path, reduce_range=True)
    ours = by_onnx(quantise(float32, QuantisationPlan("dynamic", bits=7)).finished())
    assert np.abs(ours - exact).mean() < 1.5 * np.abs(theirs - exact).mean()


def values(outlier: float) -> Seen:
    rows = np.random.default_rng(3).normal(size=(400, 16)).astype(np.float32)
    rows[0, 0] = outlier
    return Seen(rows)


def test_entropy_clips_a_lone_outlier_that_the_range_keeps() -> None:
    seen = values(60.0)
    assert seen.range(0.0, None)[1] == 60.0
    low, high = seen.entropy_range(None)
    assert 2 < high < 30, "the values themselves reach 4"
    assert -30 < low < -2


def test_percentile_leaves_the_asked_share_outside_each_end() -> None:
    seen = values(60.0)
    low, high = seen.range(0.01, None)
    assert (seen.values > high).mean() == pytest.approx(0.01, abs=0.002)
    assert (seen.values < low).mean() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("calibration", ["range", "entropy"])
def test_static_scales_move_nothing_between_batches(calibration: Any, float32: Graph) -> None:
    plan = QuantisationPlan("static", bits=7, calibration=calibration)
    seen = observe(float32, token_batches(ROWS, 2))
    session = ort.InferenceSession(
        quantise(float32, plan, seen).finished().SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    alone = session.run(None, model_inputs([ROWS[0]]))[0][0]
    together = session.run(None, model_inputs(ROWS))[0][0, : len(ROWS[0])]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_every_weight_has_a_scale_per_column(float32: Graph) -> None:
    widths = [float32.matrix(node.input[1]).shape[1] for node in float32.weight_matmuls()]
    for scheme in ("per-token", "dynamic"):
        graph = quantise(float32, QuantisationPlan(scheme, bits=7))
        products = [node for node in graph.nodes if node.op_type == "MatMulIntegerToFloat"]
        scales = [graph.matrix(node.input[3]).size for node in products]
        assert scales == widths


def test_blocks_have_32_rows_unless_told_otherwise(float32: Graph) -> None:
    for block, wanted in ((0, 32), (16, 16)):
        graph = quantise(float32, QuantisationPlan("block-wise", block=block))
        sizes = {
            attribute.i
            for node in graph.nodes
            for attribute in node.attribute
            if attribute.name == "block_size"
        }
        assert sizes == {wanted}


def test_the_default_is_right_on_every_processor_and_in_every_batch() -> None:
    assert choose() == choose(TARGETS) == QuantisationPlan("per-token", bits=7)
    assert choose().is_drift_free


def test_bits_are_those_that_the_worst_processor_multiplies_exactly() -> None:
    assert choose(["avx2", "vnni"]).bits == 7
    assert choose(["vnni", "arm64"]).bits == 8


def test_only_who_never_batches_gets_a_scheme_that_drifts() -> None:
    for names in (["vnni"], ["avx2"], list(TARGETS)):
        assert choose(names).is_drift_free
        assert not choose(names, must_batch=False).is_drift_free
        assert choose(names, must_batch=False).bits == choose(names).bits


def test_an_unknown_target_is_named_beside_the_known_ones() -> None:
    with pytest.raises(TargetUnknown, match=r"riscv.* known are vnni, avx2, arm64"):
        choose(["riscv"])
    with pytest.raises(TargetUnknown, match="no processor"):
        choose([])
