"""INT8 weights: symmetric, with one scale per output column or per table row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]


def symmetric(weight: FloatArray, axis: int, bits: int = 8) -> tuple[Int8Array, FloatArray]:
    """The rounded weight and its scales, `weight ≈ rounded * scales`.

    The scales keep `axis` with length 1, so that they broadcast. The largest magnitude along
    `axis` becomes 127 (63 for 7 bits); a slice of zeros gets scale 1.

    :param bits: 7 or 8. Seven keep the sum of two products of uint8 and int8 inside 16 bits
        (2 * 255 * 63 < 2**15): processors without VNNI add such pairs by VPMADDUBSW, which
        saturates, so eight bits may answer otherwise there than here.
    """
    limit = 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(axis=axis, keepdims=True)
    scales = np.where(largest == 0, 1.0, largest / limit).astype(np.float32)
    rounded = np.clip(np.rint(weight / scales), -limit, limit).astype(np.int8)
    return rounded, scales
