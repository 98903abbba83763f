"""What a vector store is to a search: vectors by id, the nearest of them, and what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from farthing.search.manifest import EmbedderFacts, Filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# What every store takes: an index bounds ids so, Pinecone metadata and answers.
ID_BYTES_MAX: Final = 512
METADATA_BYTES_MAX: Final = 32_000
NEAREST_MAX: Final = 1_000


class Label(msgspec.Struct, frozen=True):
    """What a collection says of itself: whose vectors it holds, and what it may be narrowed by."""

    embedder: EmbedderFacts
    filters: tuple[Filter, ...] = ()


class Item(NamedTuple):
    """A vector to keep, of any length but 0, and what is to be known with it.

    `metadata` is what JSON can say, in at most `METADATA_BYTES_MAX` bytes of it; `id` has 1 to
    `ID_BYTES_MAX` bytes in UTF-8.
    """

    id: str
    vector: Floats
    metadata: Mapping[str, Any]


class Near(NamedTuple):
    """A vector that was found: `score` is its cosine with what was asked, -1 to 1."""

    id: str
    score: float
    metadata: dict[str, Any]


class VectorStore(Protocol):
    """A collection of vectors that one embedder made; safe to read from several threads.

    All raise `VectorStoreUnavailable` where the store does not answer or does not do as asked,
    and `InvalidRequest` for what no store takes: a vector of other dims, an id too long.
    """

    @property
    def url(self) -> str:
        """The address for people and messages, without secrets."""

    def describe(self) -> Label:
        """The label that the collection was made with."""

    def upsert(self, items: Iterable[Item]) -> int:
        """Keeps the items, each in place of one with its id; how many they were.

        They are read as they are sent, a batch at a time; of two with one id the later stays.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Drops what is kept under the ids; nothing happens for one that is not there."""

    def nearest(
        self, vector: Floats, limit: int, where: Mapping[str, Any] | None = None
    ) -> list[Near]:
        """The `limit` nearest, 1 to `NEAREST_MAX`, best first; fewer where there are no more.

        `where` is a search's filter. Raises `FilterUnknown` for one that the label has not.
        """

    def fetch(self, ids: Sequence[str]) -> dict[str, Floats]:
        """The vectors under the ids, scaled to length 1; those that are not there are left out."""

    def count(self) -> int:
        """How many vectors there are; Pinecone's figure lags what was written."""

    def close(self) -> None:
        """Lets go of files and connections; nothing else may be called after."""
