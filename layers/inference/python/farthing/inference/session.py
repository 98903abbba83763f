"""A model loaded into ONNX Runtime: arrays in, one output array out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.inference.heads import Floats


class Session:
    """One loaded graph; safe to run from several threads at once.

    `threads` is the number of cores one run may use. The graph was optimised when the bundle
    was packed, so nothing is rewritten at start. Memory patterns are off because every text
    length would keep a plan of its own. Several threads spin between operators, ONNX Runtime's
    default: woken each time, two were slower than one (1.34 ms for a title against 1.15).
    """

    def __init__(self, model: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        # From a path: given bytes, ONNX Runtime would keep them beside the weights for life.
        self._session = ort.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._output = [self._session.get_outputs()[0].name]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        """The model's first output for the inputs that its encoder makes."""
        output: Floats = self._session.run(self._output, inputs)[0]
        return output


def model_inputs(batch: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """The inputs that a transformer's graph takes, each [batch, longest].

    Rows shorter than the longest are padded with id 0 and masked out.
    """
    ids = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
