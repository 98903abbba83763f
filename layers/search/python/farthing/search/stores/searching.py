"""Searches whose vectors lie in a store: with an index for the words, or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.errors import InvalidRequest
from farthing.search.engine import TOP_K_MAX, Engine, Found, Hit, Stopwatch
from farthing.search.manifest import EmbedderFacts
from farthing.search.opening import (
    check_embedder,
    open_segments,
    read_local_manifest,
    read_ranking,
)
from farthing.search.recall import Recall, Rows
from farthing.search.stores.conditions import plain_filter
from farthing.search.stores.contract import NEAREST_MAX, Label
from farthing.search.stores.exporting import label_of
from farthing.search.stores.labels import agreed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.inference.tasks import Embedder
    from farthing.search.filters import Where
    from farthing.search.manifest import IndexManifest
    from farthing.search.ranking import Ranking
    from farthing.search.segments import Segment
    from farthing.search.stores.contract import Floats, VectorStore


class StoreEngine(Engine):
    """An engine that asks a store for vectors; words, ranking and documents are the index's."""

    def __init__(
        self,
        manifest: IndexManifest,
        embedder: Embedder,
        segments: list[Segment],
        ranking: Ranking,
        store: VectorStore,
    ) -> None:
        super().__init__(manifest, embedder, segments, ranking)
        self._recall = StoreRecall(manifest, segments, store)

    @classmethod
    def open_with(cls, folder: Path, embedder: Embedder, store: VectorStore) -> StoreEngine:
        """The index in a local folder, and the store that its vectors were exported to.

        The store stays its owner's to close. Raises as `Engine.open` does, and `EmbedderMismatch`
        or `SettingsError` where the store's collection is not this index's.
        """
        manifest = read_local_manifest(folder)
        check_embedder(manifest, embedder)
        agreed(store.describe(), label_of(manifest), store.url, may_adopt=False)
        segments = open_segments(folder, manifest)
        return cls(manifest, embedder, segments, read_ranking(folder, manifest), store)


class StoreRecall(Recall):
    """Recall whose vectors are a store's.

    A document that the store has not is ranked by its words; one that the index has not, no more
    or not yet, is left out.
    """

    def __init__(
        self, manifest: IndexManifest, segments: Sequence[Segment], store: VectorStore
    ) -> None:
        super().__init__(manifest, segments)
        self._filters = manifest.filters
        self._dims = manifest.embedder.dims
        self._parts_of = segments
        self._store = store

    def by_vector(self, query: NDArray[np.int8], limit: int, where: Where | None) -> Rows:
        vector = query.astype(np.float32)
        narrowed = plain_filter(where, self._filters)
        near = [one.id for one in self._store.nearest(vector, min(limit, NEAREST_MAX), narrowed)]
        found = [sorted(segment.rows_of(near).values()) for segment in self._parts_of]
        places = [np.full(len(rows), place) for place, rows in enumerate(found)]
        none = np.empty(0, np.int64)
        rows = [np.array(some, np.int64) for some in found]
        return Rows(np.concatenate([none, *places]), np.concatenate([none, *rows]))

    def vectors(self, rows: Rows) -> Floats:
        ids = self.ids(rows)
        known = self._store.fetch(ids) if ids else {}
        unknown = np.zeros(self._dims, np.float32)
        vectors = [known.get(id_, unknown) for id_ in ids]
        return np.stack(vectors) if vectors else np.empty((0, self._dims), np.float32)


class StoreSearch:
    """Searches by meaning alone, for what no machine's index holds: a store, and an embedder.

    A hit shows the metadata of its item. Raises `EmbedderMismatch` for another embedder's store.
    """

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        facts = EmbedderFacts(embedder.name, embedder.bundle.digest, embedder.dims)
        agreed(store.describe(), Label(facts), store.url, may_adopt=False)
        self._store = store
        self._embedder = embedder

    def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        where: Mapping[str, Any] | None = None,
        explain: bool = False,
    ) -> Found:
        """The nearest `top_k`. Raises `InvalidRequest` and `FilterUnknown` as an engine does."""
        if not 1 <= top_k <= TOP_K_MAX:
            raise InvalidRequest(f"top_k is out of range. Ask for 1 to {TOP_K_MAX} hits.")
        if not query or query.isspace():
            raise InvalidRequest("The query is blank. Give the words to search for.")
        watch = Stopwatch()
        prepared = self._embedder.prepare([query])
        vector = self._embedder.compute(prepared)[0]
        watch.stop("embed")
        near = self._store.nearest(vector, top_k, where)
        watch.stop("dense")
        hits = [
            Hit(one.id, one.score, one.metadata, {"cosine": one.score} if explain else None)
            for one in near
        ]
        return Found(
            hits, watch.stages_ns, len(hits), prepared.tokens, prepared.truncated, version=0
        )
