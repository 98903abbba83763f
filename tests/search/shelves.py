"""Small indexes of real segments, whose vectors follow from the titles' letters."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farthing.search.manifest import (
    Analysis,
    EmbedderFacts,
    Field,
    Filter,
    IndexManifest,
)
from farthing.search.publishing import publish
from farthing.search.segments import Document
from farthing.search.statistics import with_segments
from farthing.search.workplace import Workplace, segment_writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from farthing.storage import Storage

DIMS = 32
EMPTY = IndexManifest(
    format=1,
    name="shop",
    version=1,
    created_at="",
    id_field="id",
    fields=(Field("title"),),
    filters=(Filter("brand"),),
    stored=("id", "title"),
    analysis=Analysis(),
    embedder=EmbedderFacts("letters", "0" * 64, DIMS),
    documents=0,
    terms_mean=(0.0,),
    segments=(),
)


def vector(title: str) -> NDArray[np.float32]:
    """float32[DIMS] of length 1: how often the title has each letter."""
    counts = np.zeros(DIMS, np.float32)
    for letter in title.lower():
        counts[ord(letter) % DIMS] += 1
    found: NDArray[np.float32] = counts / np.linalg.norm(counts)
    return found


def publish_index(storage: Storage, *segments: Mapping[str, str]) -> IndexManifest:
    """Publishes an index of these segments; each is titles by id, whose first word is the brand."""
    entries, totals = [], [0]
    with tempfile.TemporaryDirectory() as work:
        place = Workplace(storage, Path(work))
        for titles in segments:
            writer = segment_writer(Path(work), EMPTY)
            for id_, title in titles.items():
                stored = {"id": id_, "title": title}
                document = Document(id_, (title,), (title.split()[0],), stored)
                writer.add(document, vector(title))
            entry, terms = place.keep(Path(work), writer.finish(), EMPTY)
            entries.append(entry)
            totals = [a + b for a, b in zip(totals, terms, strict=True)]
    return publish(storage, lambda _: with_segments(EMPTY, entries, totals))


def found_ids(segments: Sequence[object], *terms: str) -> set[str]:
    """The ids of the documents that have any of the terms, over the segments."""
    return {
        id_
        for segment in segments
        for id_ in segment.ids(segment.recall_words(terms, 100))  # type: ignore[attr-defined]
    }
