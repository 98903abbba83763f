"""Rankers of a few numbers: BM25 as it is, mixed with cosines, or a weighted sum of features."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
import numpy as np

from farthing.search.ranking.features import FEATURES, shares
from farthing.search.ranking.words import times

if TYPE_CHECKING:
    from farthing.search.ranking.words import Floats

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Scale = Annotated[float, msgspec.Meta(gt=0)]


class View(Protocol):
    """What rankers see of n candidates; `table` float32[n, features] costs the most to make."""

    @property
    def bm25(self) -> Floats: ...
    @property
    def cosines(self) -> Floats: ...
    @property
    def asks_numbers(self) -> bool: ...
    @property
    def table(self) -> Floats: ...


class Bm25(msgspec.Struct, frozen=True, tag="bm25"):
    """The order of stage 1."""

    def scores(self, view: View) -> Floats:
        return view.bm25


class Fusion(msgspec.Struct, frozen=True, tag="fusion"):
    """BM25 and cosine, each as a part of its best: `weight` is the cosine's, 0 to 1.

    Where the query has a word with a digit `weight_numbers` is: vectors see model names badly.
    """

    weight: Share
    weight_numbers: Share

    def scores(self, view: View) -> Floats:
        weight = np.float32(self.weight_numbers if view.asks_numbers else self.weight)
        mixed: Floats = shares(view.bm25) * (1 - weight) + shares(view.cosines) * weight
        return mixed


class Linear(msgspec.Struct, frozen=True, tag="linear", dict=True):
    """A weighted sum of the features, each less its `mean` and divided by its `scale`."""

    mean: tuple[float, ...]
    scale: tuple[Scale, ...]
    weight: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(FEATURES) == len(self.mean) == len(self.scale) == len(self.weight):
            raise ValueError(f"a linear ranker has {len(FEATURES)} means, scales and weights")

    def scores(self, view: View) -> Floats:
        # What the means add is the same for all rows, but keeps the sums small and exact.
        return times(view.table - self._mean, self._weight)

    @cached_property
    def _mean(self) -> Floats:
        return np.array(self.mean, dtype=np.float32)

    @cached_property
    def _weight(self) -> Floats:
        weight = np.array(self.weight, dtype=np.float32)
        weight /= np.array(self.scale, dtype=np.float32)
        return weight
