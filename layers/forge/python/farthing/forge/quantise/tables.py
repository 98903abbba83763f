"""Embedding tables in INT8, one scale per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from farthing.forge.quantise.weights import symmetric

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph

# Tables with fewer rows (positions, token types) stay in float32: they are small.
SMALLEST_ROWS = 1024


def quantise_tables(graph: Graph, smallest_rows: int = SMALLEST_ROWS) -> int:
    """Replaces lookups in large constant tables in place; gives the number replaced.

    A row of the table has its own scale, so a looked-up vector depends on its own token only.

    :param smallest_rows: tables with fewer rows stay in float32.
    """
    replaced = 0
    for node in list(graph.nodes):
        if node.op_type != "Gather":
            continue
        table = graph.constant(node.input[0])
        if table is None or table.ndim != 2 or table.shape[0] < smallest_rows:
            continue
        rounded, scales = symmetric(table, axis=1)
        rows, row_scales = node.input[0] + "/int8", node.input[0] + "/row_scales"
        rows_name = graph.add_constant(rows, rounded)
        scales_name = graph.add_constant(row_scales, scales)
        picked, as_float, scale = (
            graph.fresh(f"{node.output[0]}/{part}") for part in ("int8", "float", "scale")
        )
        graph.replace(
            node,
            [
                graph.node("Gather", [rows_name, node.input[1]], [picked], axis=0),
                graph.node("Cast", [picked], [as_float], to=TensorProto.FLOAT),
                graph.node("Gather", [scales_name, node.input[1]], [scale], axis=0),
                graph.node("Mul", [as_float, scale], [node.output[0]]),
            ],
        )
        replaced += 1
    return replaced
