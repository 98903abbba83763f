"""The order that an index puts candidates in: learned, and kept in it as plain numbers.

{"format": 1, "features": […], "dense_rows": 50, "ranker": {"type": "average", "of": […]}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import numpy as np

from farthing.formats import decode_versioned
from farthing.search.errors import IndexCorrupt, IndexTooNew
from farthing.search.ranking.features import FEATURES
from farthing.search.ranking.fusion import Bm25, Fusion, Linear
from farthing.search.ranking.trees import Trees

if TYPE_CHECKING:
    from farthing.search.manifest import IndexManifest
    from farthing.search.ranking.fusion import View
    from farthing.search.ranking.words import Floats

FORMAT = 1
DENSE_ROWS_MAX = 1000
# Texts of so many terms are prose, whose meaning a vector holds better than a name's.
PROSE_TERMS = 40


class Ranker(Protocol):
    """Gives each candidate a score; only their order within one search means something."""

    def scores(self, view: View) -> Floats:
        """float32[n], higher is better."""


class Average(msgspec.Struct, frozen=True, tag="average"):
    """The mean of several rankers' scores, each first brought to mean 0 and deviation 1."""

    of: Annotated[tuple[Bm25 | Fusion | Linear | Trees, ...], msgspec.Meta(min_length=1)]

    def scores(self, view: View) -> Floats:
        standard = [_standardised(ranker.scores(view)) for ranker in self.of]
        mean: Floats = np.mean(standard, axis=0, dtype=np.float32)
        return mean


AnyRanker = Bm25 | Fusion | Linear | Trees | Average


class Ranking(msgspec.Struct, frozen=True):
    """A ranker, and how many rows recalled by vector it wants beside those recalled by words.

    `report` tells by what figures it was chosen.
    """

    ranker: AnyRanker
    dense_rows: Annotated[int, msgspec.Meta(ge=0, le=DENSE_ROWS_MAX)] = 0
    features: tuple[str, ...] = FEATURES
    format: int = FORMAT
    report: dict[str, Any] = {}

    def scores(self, view: View) -> Floats:
        """float32[n], higher is better."""
        return self.ranker.scores(view)


def encode_ranker(ranking: Ranking) -> bytes:
    """The file that `read_ranker` reads."""
    return msgspec.json.encode(ranking)


def read_ranker(raw: bytes) -> Ranking:
    """The ranking in a file's bytes.

    Raises `IndexTooNew` for a later format or features that this version does not know,
    `IndexCorrupt` for anything that is no ranking.
    """
    try:
        ranking = decode_versioned(
            raw,
            Ranking,
            FORMAT,
            lambda found: IndexTooNew(
                f"The index's ranking has format {found}; this Farthing reads up to {FORMAT}. "
                "Upgrade Farthing, or train the index with this version."
            ),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IndexCorrupt(
            f"The index's ranking cannot be read: {error}. Restore the file, or train it again."
        ) from None
    if ranking.features != FEATURES:
        raise IndexTooNew(
            "The index's ranking was learned from other features than this Farthing computes. "
            "Use the version that trained it, or train the index with this one."
        )
    return ranking


def default_ranker(manifest: IndexManifest) -> Ranking:
    """What ranks an index that has learned nothing, by how long its documents are.

    Prose gains from meaning throughout; short titles little, and none where the query names a
    model by a number.
    """
    if sum(manifest.terms_mean) >= PROSE_TERMS:
        return Ranking(Fusion(weight=0.6, weight_numbers=0.6), dense_rows=100)
    return Ranking(Fusion(weight=0.1, weight_numbers=0.0), dense_rows=50)


def _standardised(scores: Floats) -> Floats:
    deviation = scores.std() if len(scores) else 0.0
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros_like(scores)
