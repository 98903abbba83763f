"""From a transformers model to a fused float32 ONNX graph that needs no optimising at load."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from optimum.exporters.onnx import main_export

from farthing.forge.export.graph import Graph
from farthing.forge.quietly import quietly

OPSET = 18


def export(checkpoint: Path, heads: int, hidden: int) -> Graph:
    """The encoder in folder `checkpoint` as a fused graph in float32.

    Inputs are int64 `input_ids`, `attention_mask` and `token_type_ids`, all [batch, tokens]. The
    output is `last_hidden_state` [batch, tokens, hidden].

    :param heads: attention heads of each layer.
    :param hidden: width of a token's vector.
    """
    with tempfile.TemporaryDirectory() as folder, quietly():
        main_export(
            str(checkpoint),
            folder,
            task="feature-extraction",
            library_name="transformers",
            opset=OPSET,
            do_validation=False,
        )
        fused = fuse(Path(folder) / "model.onnx", heads, hidden)
    open_wide_gemms(fused)
    merge_shared_products(fused)
    return fused


def fuse(path: Path, heads: int, hidden: int) -> Graph:
    """The exported graph with attention and GELU fused, on any processor the same.

    Attention becomes MultiHeadAttention, which leaves the projections outside as MatMuls that can
    be quantised. Residual additions stay apart from LayerNormalization: for 32 titles ONNX Runtime
    1.31 took 0.88 ms for its joint SkipLayerNormalization and 0.25 ms for the operators apart.
    """
    options = FusionOptions("bert")
    options.use_multi_head_attention = True
    options.enable_embed_layer_norm = False
    options.enable_skip_layer_norm = False
    options.enable_bias_skip_layer_norm = False
    optimised = optimize_model(
        str(path),
        model_type="bert",
        num_heads=heads,
        hidden_size=hidden,
        optimization_options=options,
        opt_level=0,
    )
    return Graph(optimised.model)


def open_wide_gemms(graph: Graph, narrowest: int = 64) -> int:
    """Turns Gemm into MatMul and Add, so that every scheme sees one kind of product.

    Layers with fewer than `narrowest` outputs (a classifier's last one) stay: they are too small
    to gain from INT8 and the closest to the answer. Gives the number of opened layers.
    """
    opened = 0
    for node in list(graph.nodes):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        scaled = any(attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta"))
        if node.op_type != "Gemm" or scaled or attributes.get("transA", 0):
            continue
        if graph.constant(node.input[1]) is None or len(node.input) != 3:
            continue
        weight = graph.matrix(node.input[1])
        if attributes.get("transB", 0):
            weight = weight.T
        if weight.shape[1] < narrowest:
            continue
        out = node.output[0]
        product = graph.fresh(f"{out}/product")
        weight_name = graph.add_constant(f"{out}/weight", weight)
        graph.replace(
            node,
            [
                graph.node("MatMul", [node.input[0], weight_name], [product]),
                graph.node("Add", [product, node.input[2]], [out]),
            ],
        )
        opened += 1
    return opened


def merge_shared_products(graph: Graph) -> int:
    """Joins MatMuls that read the same tensor (query, key, value) into one product and a Split.

    One wide product is faster than three narrow ones, and its input is quantised once. Gives the
    number of joined products.
    """
    merged = 0
    by_input: dict[str, list[int]] = {}
    matmuls = graph.weight_matmuls()
    for at, node in enumerate(matmuls):
        by_input.setdefault(node.input[0], []).append(at)
    for activation, places in by_input.items():
        if len(places) < 2:
            continue
        nodes = [matmuls[at] for at in places]
        weights = [graph.matrix(node.input[1]) for node in nodes]
        stem = nodes[0].output[0]
        joined = graph.fresh(f"{stem}/joined")
        weight = graph.add_constant(f"{stem}/weight", np.concatenate(weights, axis=1))
        sizes = graph.add_constant(
            f"{stem}/sizes", np.array([w.shape[1] for w in weights], dtype=np.int64)
        )
        graph.replace(
            nodes[0],
            [
                graph.node("MatMul", [activation, weight], [joined]),
                graph.node("Split", [joined, sizes], [n.output[0] for n in nodes], axis=-1),
            ],
        )
        for node in nodes[1:]:
            graph.replace(node, [])
        merged += 1
    return merged
