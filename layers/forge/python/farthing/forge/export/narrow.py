"""The last layer of a classifier, computed for the one token that is read.

A classifier reads the first token of its last layer and drops the others. Attention still needs
every token as key and value, but queries, output projection and feed-forward part are needed for
the first token alone: most of a layer's work. The answer is the same.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

    from farthing.forge.export.graph import Graph

# Operators that compute each token's row from the same row of their inputs, and nothing else.
ROW_WISE = {"MatMul", "Add", "Mul", "BiasGelu", "Gelu", "LayerNormalization"}
QUERY = 0


def narrow_to_first_token(graph: Graph) -> int:
    """Makes every node compute one token whose other tokens nobody reads, in place.

    Gives the number of such nodes; 0 if the model does not pick its first token.
    """
    consumers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.input:
            consumers[name].append(node)
    outputs = {output.name for output in graph.model.graph.output}
    narrow: dict[str, NodeProto] = {}
    for node in reversed(graph.nodes):
        name = node.output[0]
        readers = consumers[name]
        row_wise = node.op_type in ROW_WISE or node.op_type == "MultiHeadAttention"
        if not row_wise or not readers or name in outputs:
            continue
        if all(_reads_one_token(graph, r, name, narrow) for r in readers):
            narrow[name] = node
    cuts: dict[str, str] = {}
    for node in narrow.values():
        for place, name in enumerate(node.input):
            if _is_rows(graph, node, place) and name not in narrow:
                node.input[place] = cuts.setdefault(name, graph.fresh(f"{name}/first_token"))
    for wide, cut in cuts.items():
        _insert_slice(graph, wide, cut)
    return len(narrow)


def _picks_first_token(graph: Graph, node: NodeProto) -> bool:
    if node.op_type != "Gather":
        return False
    index = graph.constant(node.input[1])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return axis == 1 and index is not None and index.ndim == 0 and int(index) == 0


def _reads_one_token(
    graph: Graph, reader: NodeProto, name: str, narrow: dict[str, NodeProto]
) -> bool:
    """Whether `reader` needs no more of `name` than its first token."""
    if _picks_first_token(graph, reader) and reader.input[0] == name:
        return True
    if reader.output[0] not in narrow:
        return False
    places = [place for place, given in enumerate(reader.input) if given == name]
    return all(_is_rows(graph, reader, place) for place in places)


def _is_rows(graph: Graph, node: NodeProto, place: int) -> bool:
    """Whether this input has a row per token of the node's output."""
    if node.op_type == "MultiHeadAttention":
        return place == QUERY
    return graph.constant(node.input[place]) is None


def _insert_slice(graph: Graph, wide: str, cut: str) -> None:
    start = graph.shared_constant("first_token_start", np.array([0], dtype=np.int64))
    end = graph.shared_constant("first_token_end", np.array([1], dtype=np.int64))
    axis = graph.shared_constant("first_token_axis", np.array([1], dtype=np.int64))
    producer = next(node for node in graph.nodes if wide in node.output)
    graph.replace(producer, [producer, graph.node("Slice", [wide, start, end, axis], [cut])])
