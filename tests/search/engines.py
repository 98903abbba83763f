"""Small indexes to search, and an embedder for which words of one meaning are near."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from farthing.search.engine import Engine
from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
)
from farthing.search.publishing import encode
from farthing.search.segments import Document, Segment, SegmentWriter
from farthing.search.statistics import field_terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

DIMS = 64
DIGEST = "d" * 64
MEANINGS = {"refrigerator": "fridge", "sofa": "couch", "settee": "couch", "tv": "television"}


class Encoded(NamedTuple):
    texts: Sequence[str]
    tokens: int
    truncated: int


class MeaningEmbedder:
    """The sum of a random vector for each word, the same for words of one meaning."""

    name = "meanings"
    dims = DIMS
    bundle = SimpleNamespace(digest=DIGEST)

    def __init__(self) -> None:
        self.computed: list[str] = []

    def prepare(self, texts: Sequence[str]) -> Encoded:
        return Encoded(texts, sum(len(text.split()) for text in texts), 0)

    def compute(self, prepared: Encoded) -> NDArray[np.float32]:
        self.computed += prepared.texts
        return np.stack([self._vector(text) for text in prepared.texts])

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.compute(self.prepare(texts))

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(DIMS)
        for word in text.lower().split():
            chance = np.random.default_rng(zlib.crc32(MEANINGS.get(word, word).encode()))
            total += chance.normal(size=DIMS)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


def make_index(
    folder: Path,
    documents: Mapping[str, Sequence[str] | str],
    *,
    fields: Sequence[Field] = (Field("title"),),
    brands: Mapping[str, str] | None = None,
    segments: int = 1,
) -> IndexManifest:
    """An index of documents by id, cut into so many segments; `brands` can be filtered by."""
    embedder = MeaningEmbedder()
    home = folder / "segments"
    home.mkdir(parents=True)
    filters = (Filter("brand"),) if brands else ()
    items = list(documents.items())
    step = max(1, -(-len(items) // segments))
    entries = []
    for start in range(0, len(items), step):
        with SegmentWriter(home, fields, filters, Analysis(), DIMS) as writer:
            for key, given in items[start : start + step]:
                texts = (given,) if isinstance(given, str) else tuple(given)
                values = (brands.get(key),) if brands else ()
                vector = embedder.vectors([" ".join(texts)])[0]
                writer.add(Document(key, texts, values, {"id": key, "title": texts[0]}), vector)
            entries.append(writer.finish())
    manifest = IndexManifest(
        format=1,
        name="things",
        version=1,
        created_at="2026-11-22T00:00:00.000+00:00",
        id_field="id",
        fields=tuple(fields),
        filters=filters,
        stored=("id", "title"),
        analysis=Analysis(),
        embedder=EmbedderFacts("meanings", DIGEST, DIMS),
        documents=len(items),
        terms_mean=(0.0,) * len(fields),
        segments=tuple(entries),
    )
    terms = np.zeros(len(fields))
    for entry in entries:
        terms += field_terms(Segment.open(folder, entry, manifest))
    means = tuple((terms / max(len(items), 1)).tolist())
    return write_manifest(folder, msgspec.structs.replace(manifest, terms_mean=means))


def write_manifest(folder: Path, manifest: IndexManifest) -> IndexManifest:
    (folder / "manifest.json").write_bytes(encode(manifest))
    return manifest


def open_engine(folder: Path, embedder: Any = None) -> Engine:
    return Engine.open(folder, embedder or MeaningEmbedder())


def titles_at_random(count: int, seed: int = 0) -> dict[str, str]:
    """Titles of three to eight words out of sixty, a quarter of them with a model number."""
    chance = np.random.default_rng(seed)
    words = [
        f"{letter}{ending}" for letter in "bcdfghjklmnprstvwxz" for ending in ("or", "um", "ax")
    ]
    titles = {}
    for number in range(count):
        chosen = chance.choice(words, chance.integers(3, 9)).tolist()
        if number % 4 == 0:
            chosen.append(f"x{chance.integers(100)}")
        titles[f"d{number:04}"] = " ".join(chosen)
    return titles
