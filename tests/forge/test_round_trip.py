"""Export, quantise, pack, and open through the code that serves."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("optimum")

from farthing.forge import pack  # noqa: E402
from farthing.forge.distil.vocabulary import bare_tokenizer  # noqa: E402
from farthing.forge.evaluate import quality as evaluate  # noqa: E402
from farthing.forge.export.transformer import export  # noqa: E402
from farthing.forge.quantise.calibrate import observe, token_batches  # noqa: E402
from farthing.forge.quantise.schemes import QuantisationPlan, quantise  # noqa: E402
from farthing.forge.recipe import DriftPlan  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farthing.forge.export.graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = [
    "fridge freezer white",
    "washing machine",
    "phone",
    "black camera x100",
    "freestanding fridge 60cm white silver black freezer",
    "",
    "kfd4952xd phoning!",
    "a",
] * 8
NEIGHBOURS = DriftPlan(texts=len(TEXTS), batch=16, seed=5)


@pytest.fixture(scope="module")
def float32(tiny: Path) -> Graph:
    return export(tiny, heads=4, hidden=64)


def packed(folder: Path, graph: Graph, tiny: Path, plan: QuantisationPlan) -> Path:
    description = pack.Description(
        name="tiny",
        task="embed",
        labels=(),
        pooling="mean",
        normalize=True,
        max_tokens=32,
        dims=64,
        quantisation={"scheme": plan.scheme, "bits": plan.bits},
        licence="Apache-2.0",
        origin="random",
    )
    tokenizer = bare_tokenizer(tiny / "tokenizer.json")
    rows = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]
    seen = observe(graph, token_batches(rows, 8)) if plan.scheme == "static" else None
    pack.write_parts(folder, quantise(graph, plan, seen), tokenizer)
    pack.write_manifest(folder, description)
    return folder


def vectors_by_torch(tiny: Path) -> Any:
    from transformers import BertModel

    model = BertModel.from_pretrained(tiny, add_pooling_layer=False).eval()
    tokenizer = bare_tokenizer(tiny / "tokenizer.json")
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            hidden = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy())
    return np.stack(rows)


def test_the_fused_float32_graph_answers_what_torch_answers(
    float32: Graph, tiny: Path, tmp_path: Path
) -> None:
    folder = packed(tmp_path, float32, tiny, QuantisationPlan("none", bits=32))
    ours = evaluate.answers(evaluate.open_model(folder, threads=1), TEXTS)
    np.testing.assert_allclose(ours, vectors_by_torch(tiny), atol=1e-5)


@pytest.mark.parametrize(
    ("plan", "least_cosine"),
    [
        (QuantisationPlan("per-token"), 0.98),
        (QuantisationPlan("per-token", bits=7), 0.97),
        (QuantisationPlan("dynamic"), 0.9),
        (QuantisationPlan("static"), 0.9),
        (QuantisationPlan("static", smoothing_strength=0.5), 0.9),
        (QuantisationPlan("static", smoothing_strength=0.5, float_after_gelu=True), 0.9),
        (QuantisationPlan("block-wise", block=32), 0.98),
    ],
    ids=lambda value: getattr(value, "scheme", ""),
)
def test_every_scheme_stays_near_float32_in_fewer_bytes(
    plan: QuantisationPlan,
    least_cosine: float,
    float32: Graph,
    tiny: Path,
    tmp_path: Path,
    need_exact_sums: Callable[[int], None],
) -> None:
    if plan.scheme == "per-token":
        need_exact_sums(plan.bits)
    reference = packed(tmp_path / "f32", float32, tiny, QuantisationPlan("none", bits=32))
    folder = packed(tmp_path / "int8", float32, tiny, plan)
    like = evaluate.likeness(
        evaluate.open_model(folder, 1), evaluate.open_model(reference, 1), TEXTS
    )
    assert like.mean > least_cosine
    assert (folder / "model.onnx").stat().st_size < (reference / "model.onnx").stat().st_size


def test_one_scale_per_call_drifts_and_one_per_token_does_not(
    float32: Graph, tiny: Path, tmp_path: Path
) -> None:
    dynamic = packed(tmp_path / "dynamic", float32, tiny, QuantisationPlan("dynamic"))
    per_token = packed(tmp_path / "per-token", float32, tiny, QuantisationPlan("per-token"))
    drifting = evaluate.drift(evaluate.open_model(dynamic, 1), TEXTS, NEIGHBOURS)
    steady = evaluate.drift(evaluate.open_model(per_token, 1), TEXTS, NEIGHBOURS)
    assert drifting.min_cosine < 0.9999
    assert steady.min_cosine > 0.999999
    assert steady.max_abs_difference < 1e-5


def test_an_unmeasured_bundle_is_never_batched(float32: Graph, tiny: Path, tmp_path: Path) -> None:
    folder = packed(tmp_path, float32, tiny, QuantisationPlan("per-token"))
    assert not evaluate.open_model(folder, 1).manifest.batch_drift.is_zero


def test_static_scales_need_calibration(float32: Graph) -> None:
    with pytest.raises(ValueError, match=r"without calibration; pass what calibrate\.observe saw"):
        quantise(float32, QuantisationPlan("static"))


def test_the_manifest_tells_the_truth_about_every_file(
    float32: Graph, tiny: Path, tmp_path: Path
) -> None:
    folder = packed(tmp_path, float32, tiny, QuantisationPlan("per-token"))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_publishing_replaces_a_bundle_as_a_whole(tmp_path: Path) -> None:
    old, new = tmp_path / "models" / "m", tmp_path / "new"
    for folder, name in ((old, "stale"), (new, "fresh")):
        folder.mkdir(parents=True)
        (folder / name).touch()
    pack.publish(new, old)
    assert [file.name for file in old.iterdir()] == ["fresh"]
    assert [file.name for file in old.parent.iterdir()] == ["m"]
