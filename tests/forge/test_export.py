"""The exported graph answers as PyTorch does, with less work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("optimum")

from farthing.forge.batches import padded  # noqa: E402
from farthing.forge.distil.students import StudentClassifier, read_head, student_encoder  # noqa: E402
from farthing.forge.export.head import append_head  # noqa: E402
from farthing.forge.export.transformer import export  # noqa: E402
from farthing.forge.pretrained import Pretrained  # noqa: E402
from farthing.forge.quantise.calibrate import token_batches  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.export.graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [[3, 7, 8, 9, 4], [3, 12, 4], [3, 4], [3, *range(6, 30), 4]]
LABELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def classifier(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    keep = list(range(60))
    torch.manual_seed(4)
    model = StudentClassifier(student_encoder(Pretrained(tiny), 2, keep, 32), LABELS).eval()
    folder = tmp_path_factory.mktemp("classifier")
    model.save(folder)
    graph = export(folder, heads=4, hidden=64)
    weight, bias = read_head(folder)
    append_head(graph, weight.numpy(), bias.numpy())
    return model, graph


def outputs(graph: Graph, rows: list[list[int]]) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    raw = graph.copy().finished().SerializeToString()
    session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    return [session.run(None, dict(batch))[0] for batch in token_batches(rows, len(rows))]


def test_logits_are_those_of_torch_alone_and_padded(classifier: Any) -> None:
    model, graph = classifier
    ordered = sorted(ROWS, key=len)
    with torch.inference_mode():
        wanted = np.concatenate([model(*padded([row])).logits.numpy() for row in ordered])
    np.testing.assert_allclose(outputs(graph, ROWS)[0], wanted, atol=1e-4)
    alone = np.concatenate([outputs(graph, [row])[0] for row in ordered])
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    assert wanted.std() > 0.01


def test_a_head_leaves_only_logits(classifier: Any) -> None:
    _, graph = classifier
    outputs_of = [value.name for value in graph.copy().finished().graph.output]
    assert outputs_of == ["logits"]


def test_query_key_and_value_are_one_product_where_they_read_the_same(tiny: Path) -> None:
    graph = export(tiny, heads=4, hidden=64)
    kinds = [node.op_type for node in graph.nodes]
    assert kinds.count("Split") == 2
    assert len(graph.weight_matmuls()) == 2 * 4


def test_inputs_and_output_are_those_the_runtime_feeds_and_reads(tiny: Path) -> None:
    model = export(tiny, heads=4, hidden=64).finished()
    names = [value.name for value in model.graph.input]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]
    assert [value.name for value in model.graph.output] == ["last_hidden_state"]
