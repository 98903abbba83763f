"""Ranking: what is known of a search's candidates, and the order that this puts them in."""

from farthing.search.ranking.features import FEATURES, features
from farthing.search.ranking.rankers import (
    Ranker,
    Ranking,
    default_ranker,
    encode_ranker,
    read_ranker,
)

__all__ = [
    "FEATURES",
    "Ranker",
    "Ranking",
    "default_ranker",
    "encode_ranker",
    "features",
    "read_ranker",
]
