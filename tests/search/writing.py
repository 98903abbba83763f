"""Small indexes to write to, an embedder that needs no model, and what an index holds."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from farthing.search.analysis import Analyzer
from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
)
from farthing.search.publishing import publish, read_manifest
from farthing.search.workplace import Workplace
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.search.segments import Segment
    from farthing.storage import Storage

DIMS = 16
DIGEST = "a" * 64


class HashEmbedder:
    """Vectors that follow from a text's SHA-256."""

    name = "hashes"
    dims = DIMS
    bundle = SimpleNamespace(digest=DIGEST)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def vectors(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return np.stack([vector_of(text) for text in texts])


def vector_of(text: str) -> Any:
    raw = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.int16).astype(np.float32)
    return raw / np.linalg.norm(raw)


def empty_manifest(name: str = "shop") -> IndexManifest:
    return IndexManifest(
        format=1,
        name=name,
        version=1,
        created_at="",
        id_field="sku",
        fields=(Field("title", 2.0), Field("text")),
        filters=(Filter("brand"), Filter("price", "number")),
        stored=("sku", "title", "brand", "price"),
        analysis=Analysis(),
        embedder=EmbedderFacts("hashes", DIGEST, DIMS),
        documents=0,
        terms_mean=(0.0, 0.0),
        segments=(),
    )


def new_index(folder: Path) -> LocalStorage:
    """Version 1 of an index without documents."""
    storage = LocalStorage(folder)
    publish(storage, lambda current: empty_manifest())
    return storage


def record(key: str, title: str, **columns: object) -> dict[str, Any]:
    return {"sku": key, "title": title, **columns}


def segments_of(storage: Storage, work: Path) -> list[Segment]:
    index = read_manifest(storage)
    return [Workplace(storage, work).open(entry, index) for entry in index.segments]


def held(storage: Storage, work: Path) -> dict[str, tuple[str, ...]]:
    """The texts of every live document by id; fails where an id is there twice."""
    found: dict[str, tuple[str, ...]] = {}
    for segment in segments_of(storage, work):
        rows = np.arange(segment.rows) if segment.live is None else np.flatnonzero(segment.live)
        for document in segment.sources(rows):
            assert document.id not in found
            found[document.id] = document.texts
    return found


def terms_mean(texts: Sequence[tuple[str, ...]]) -> tuple[float, ...]:
    """The mean number of terms of each field, counted anew."""
    analyzer = Analyzer(Analysis())
    counts = [[len(analyzer.terms(text)) for text in row] for row in texts]
    return tuple(np.mean(counts, axis=0)) if counts else (0.0, 0.0)
