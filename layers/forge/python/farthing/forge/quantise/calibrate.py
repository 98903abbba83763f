"""What the activations of a model look like on example texts: the numbers static scales need.

Three ways from values to a range: all of them (minimum and maximum), all but a share at each end
(percentile), or the clipping that loses the least information, Kullback-Leibler's divergence
between the histograms before and after: S. Migacz, "8-bit Inference with TensorRT" (2017), as ONNX
Runtime's `quantization.calibrate` computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import helper
from onnxruntime.quantization.calibrate import HistogramCollector

from farthing.forge.quantise.products import Static
from farthing.forge.quietly import quietly
from farthing.inference.session import model_inputs

if TYPE_CHECKING:
    from farthing.forge.export.graph import Graph
    from farthing.forge.quantise.weights import FloatArray

Batch = Mapping[str, npt.NDArray[np.int64]]

# Bins before and after quantisation. Fewer before would merge all but the outliers into one bin.
HISTOGRAM_BINS = 1024
QUANTISED_BINS = 256


@dataclass(frozen=True)
class Seen:
    """One activation over all calibration texts, padding left out.

    `values` is [tokens, channels] in float32.
    """

    values: FloatArray

    def range(self, outside_share: float, columns: FloatArray | None) -> tuple[float, float]:
        """Lowest and highest value, leaving `outside_share` of the values beyond each end."""
        values = self.values if columns is None else self.values / columns
        if outside_share == 0:
            return float(values.min()), float(values.max())
        low, high = np.quantile(values, [outside_share, 1 - outside_share])
        return float(low), float(high)

    def entropy_range(self, columns: FloatArray | None) -> tuple[float, float]:
        """Lowest and highest value of the clipping that loses the least information."""
        values = self.values if columns is None else self.values / columns
        collector = HistogramCollector(
            method="entropy",
            symmetric=False,
            num_bins=HISTOGRAM_BINS,
            num_quantized_bins=QUANTISED_BINS,
            percentile=100.0,
            scenario="same",
        )
        with quietly():
            collector.collect({"values": [values]})
            found = collector.compute_collection_result()["values"]
        low, high = found[:2]
        return float(low), float(high)

    def smoothing(self, weight: FloatArray, strength: float) -> FloatArray:
        """Factors [channels] that even out the channels' magnitudes: SmoothQuant, equation 4.

        :param strength: 0 leaves the activation as it is, 1 makes all its channels equally large.
        """
        activation = np.maximum(np.abs(self.values).max(axis=0), 1e-5)
        rows = np.maximum(np.abs(weight).max(axis=1), 1e-5)
        factors: FloatArray = (activation**strength / rows ** (1 - strength)).astype(np.float32)
        return factors


def observe(graph: Graph, batches: Iterable[Batch]) -> dict[str, Seen]:
    """Every activation that enters a product with a constant weight, keyed by its name."""
    names = sorted({node.input[0] for node in graph.weight_matmuls()})
    model = graph.copy().finished()
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    parts: dict[str, list[FloatArray]] = {name: [] for name in names}
    for batch in batches:
        real = batch["attention_mask"].astype(bool)
        for name, value in zip(names, session.run(names, dict(batch)), strict=True):
            # A narrowed last layer has fewer tokens: the first ones.
            parts[name].append(value[real[:, : value.shape[1]]] if value.ndim == 3 else value)
    return {name: Seen(np.concatenate(values)) for name, values in parts.items()}


def static_scaling(
    graph: Graph,
    seen: Mapping[str, Seen],
    outside_share: float = 0.0,
    smoothing_strength: float | None = None,
    *,
    by_entropy: bool = False,
) -> Static:
    """Static scales from what was seen.

    :param outside_share: share of values clipped at each end; 0 is minimum and maximum.
    :param by_entropy: clip where the least information is lost, whatever `outside_share` says.
    :param smoothing_strength: 0..1, or None for no smoothing.
    """
    columns: dict[str, FloatArray] = {}
    if smoothing_strength is not None:
        for node in graph.weight_matmuls():
            weight = graph.matrix(node.input[1])
            columns[node.input[0]] = seen[node.input[0]].smoothing(weight, smoothing_strength)
    ranges = {
        name: observed.entropy_range(columns.get(name))
        if by_entropy
        else observed.range(outside_share, columns.get(name))
        for name, observed in seen.items()
    }
    return Static(ranges, columns)


def token_batches(rows: Sequence[Sequence[int]], batch: int) -> list[Batch]:
    """Model inputs for rows of token ids, those of similar length together."""
    ordered = sorted(rows, key=len)
    return [model_inputs(ordered[at : at + batch]) for at in range(0, len(ordered), batch)]
