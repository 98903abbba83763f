"""8-bit weights in blocks: the operator MatMulNBits of ONNX Runtime.

The layout is that of the operator's page in ONNX Runtime's ContribOperators.md: weights as uint8
[columns, blocks, block], scales as float32 [columns * blocks], zero point 128 where none is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from farthing.forge.quantise.weights import symmetric

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph

# The operator quantises its activations to INT8 by itself, row by row and block by block.
INT8_ACTIVATIONS = 4
ZERO_POINT = 128


def quantise_in_blocks(graph: Graph, block: int) -> int:
    """Replaces the MatMuls with constant weights in place; gives the number replaced.

    :param block: rows that share one scale: a power of two, at least 16.
    :raises ValueError: if the rows of a weight are no multiple of `block`.
    """
    nodes = graph.weight_matmuls()
    for node in nodes:
        weight = graph.matrix(node.input[1])
        rows, columns = weight.shape
        if rows % block:
            raise ValueError(
                f"Blocks of {block} were asked for, but {node.name} has {rows} rows; "
                "choose a block that divides them."
            )
        blocked = np.ascontiguousarray(weight.T).reshape(columns, rows // block, block)
        rounded, scales = symmetric(blocked, axis=2)
        out = node.output[0]
        shifted = (rounded.astype(np.int16) + ZERO_POINT).astype(np.uint8)
        new = graph.node(
            "MatMulNBits",
            [
                node.input[0],
                graph.add_constant(f"{out}/uint8", shifted),
                graph.add_constant(f"{out}/scales", scales.reshape(-1)),
            ],
            [out],
            contrib=True,
            K=rows,
            N=columns,
            bits=8,
            block_size=block,
            accuracy_level=INT8_ACTIVATIONS,
        )
        graph.replace(node, [new])
    return len(nodes)
