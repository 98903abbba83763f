"""What an answer is kept under."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.serving.cache.vectors import Vectors

# Another format of entries, or another meaning of a part, has other keys.
FORMAT = "farthing-1"
KEY_BYTES = 20
LENGTH_BYTES = 8


class Keys:
    """The keys of texts as one model answers them to one tenant, or to all where `scope` is "".

    A key is the BLAKE2b of all that the row depends on, each part after its length, so that no
    two lists of parts read alike. What is asked about rows (how many labels, how many dimensions)
    is applied to them later and is no part of it.
    """

    __slots__ = ("_begun",)

    def __init__(self, task: str, digest: str, vectors: Vectors, scope: str) -> None:
        self._begun = blake2b(digest_size=KEY_BYTES)
        for part in (FORMAT, task, digest, vectors, scope):
            self._begun.update(_framed(part))

    def of(self, normal: str) -> bytes:
        """The key of a text, by its normal form; 20 bytes."""
        hashed = self._begun.copy()
        hashed.update(_framed(normal))
        return hashed.digest()


def _framed(part: str) -> bytes:
    # N-grams are taken of lone surrogates too.
    encoded = part.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded
