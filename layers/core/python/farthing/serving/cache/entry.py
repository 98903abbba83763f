"""One kept row, as the bytes that stores hold.

    format u8, kind of vector u8, truncated u8, dims u32, tokens u32, written at u64 s,
    the row, 16 bytes of BLAKE2b over the key and all before

A store may lose, mix up or spoil what it holds, and be written to by others. An entry that is not
whole, not of this key or not of this shape is as good as absent. The digest is no signature: who
may write to the store can answer for the model.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from farthing.serving.cache.vectors import Vectors, packed_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
HEADER: Final = struct.Struct("<BBBIIQ")
DIGEST_BYTES: Final = 16
KINDS: Final[Mapping[Vectors, int]] = {kind: at for at, kind in enumerate(get_args(Vectors))}


class Entry(NamedTuple):
    """A row as it was packed, what its text counts, and when it was written, in Unix seconds."""

    payload: bytes
    tokens: int
    truncated: bool
    written_s: int


class Schema(NamedTuple):
    """What entries of one model look like."""

    vectors: Vectors
    dims: int

    def encode(self, key: bytes, entry: Entry) -> bytes:
        """The entry as it is stored under the key."""
        payload, tokens, truncated, written_s = entry
        kind = KINDS[self.vectors]
        header = HEADER.pack(FORMAT, kind, truncated, self.dims, tokens, written_s)
        body = header + payload
        return body + _digest(key, body)

    def decode(self, key: bytes, value: bytes) -> Entry | None:
        """The entry stored under the key; None where it is not whole, or another's."""
        ends = HEADER.size + packed_bytes(self.dims, self.vectors)
        if len(value) != ends + DIGEST_BYTES or _digest(key, value[:ends]) != value[ends:]:
            return None
        form, kind, truncated, dims, tokens, written_s = HEADER.unpack_from(value)
        if (form, kind, dims) != (FORMAT, KINDS[self.vectors], self.dims) or truncated > 1:
            return None
        return Entry(value[HEADER.size : ends], tokens, bool(truncated), written_s)


def _digest(key: bytes, body: bytes) -> bytes:
    hashed = blake2b(key, digest_size=DIGEST_BYTES)
    hashed.update(body)
    return hashed.digest()
