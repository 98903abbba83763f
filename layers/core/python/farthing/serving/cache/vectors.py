"""Rows of float32 as they are kept: whole, as float16, or as int8 with a scale for each row.

Where rows are rounded, every answer is, whether it was kept or has just been computed, so that one
text has one answer. What that loses, measured with all-minilm-l6-v2 on 1,000 shop titles:

              bytes   cosine to exact, least   length of a vector   nearest changed   of 10 nearest
    float32   1,536   1                        1                    0                 10
    float16     768   0.9999998                0.99994 to 1.00006   0                 9.998
    int8        388   0.99994                  0.9987 to 1.0013     0.2 %             9.95
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Vectors = Literal["float32", "float16", "int8"]
# Little-endian, as on every machine that serves; the array module has no order of its own.
SCALE = struct.Struct("<f")
# Below it a float32 has fewer digits, and a row would not be so many steps of its scale any more.
SCALE_MIN = 2.0**-126
INT8_MAX = 127


def pack(row: bytes, vectors: Vectors) -> bytes | None:
    """The row, given as float32, in so many bytes; None where its numbers are too large for that.

    Such a row is answered as it is, and never kept.
    """
    try:
        return PACKERS[vectors](row)
    except (OverflowError, ValueError):
        return None


def unpack(payload: bytes, vectors: Vectors) -> bytes:
    """The row as float32, of what `pack` gave."""
    return UNPACKERS[vectors](payload)


def packed_bytes(dims: int, vectors: Vectors) -> int:
    """How long the payload of a row is."""
    return {"float32": 4 * dims, "float16": 2 * dims, "int8": SCALE.size + dims}[vectors]


def _whole(row: bytes) -> bytes:
    return row


def _as_float16(row: bytes) -> bytes:
    floats = array("f", row)
    return struct.pack(f"<{len(floats)}e", *floats)


def _of_float16(payload: bytes) -> bytes:
    return array("f", struct.unpack(f"<{len(payload) // 2}e", payload)).tobytes()


def _as_int8(row: bytes) -> bytes:
    floats = array("f", row)
    packed = SCALE.pack(max(SCALE_MIN, max(map(abs, floats)) / INT8_MAX))
    # What will be read, not what was computed.
    (scale,) = SCALE.unpack(packed)
    return packed + array("b", [round(value / scale) for value in floats]).tobytes()


def _of_int8(payload: bytes) -> bytes:
    (scale,) = SCALE.unpack_from(payload)
    return array("f", [value * scale for value in array("b", payload[SCALE.size :])]).tobytes()


PACKERS: Mapping[Vectors, Callable[[bytes], bytes]] = {
    "float32": _whole,
    "float16": _as_float16,
    "int8": _as_int8,
}
UNPACKERS: Mapping[Vectors, Callable[[bytes], bytes]] = {
    "float32": _whole,
    "float16": _of_float16,
    "int8": _of_int8,
}
