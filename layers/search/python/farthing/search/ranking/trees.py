"""Boosted trees as plain numbers: all of them go down a level at a time, for all rows at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import numpy as np

from farthing.search.ranking.features import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.search.ranking.fusion import View
    from farthing.search.ranking.words import Floats

NODES_MAX = 65_536
DEPTH_MAX = 12

Node = Annotated[int, msgspec.Meta(ge=0, lt=NODES_MAX)]
Feature = Annotated[int, msgspec.Meta(ge=0, lt=len(FEATURES))]


class Trees(msgspec.Struct, frozen=True, tag="trees", dict=True):
    """The sum of the leaves that a row comes to, one of each tree.

    From a node a row goes to `left`, or to the one behind that if its `feature` is not below the
    `threshold`. A leaf leads to itself, and has a threshold that nothing reaches. `depth` steps
    come to every leaf.
    """

    depth: Annotated[int, msgspec.Meta(ge=0, le=DEPTH_MAX)]
    roots: Annotated[tuple[Node, ...], msgspec.Meta(min_length=1)]
    feature: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1, max_length=NODES_MAX)]
    threshold: tuple[float, ...]
    left: tuple[Node, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        nodes = len(self.feature)
        if not nodes == len(self.threshold) == len(self.left) == len(self.value):
            raise ValueError("trees have as many features as thresholds, children and values")
        children = max((left + 1 for node, left in enumerate(self.left) if left != node), default=0)
        if max(*self.roots, children) >= nodes:
            raise ValueError(f"trees of {nodes} nodes lead to one that they have not")

    def scores(self, view: View) -> Floats:
        return self.evaluate(view.table)

    def evaluate(self, table: Floats) -> Floats:
        """float32[n] for float32[n, features]."""
        rows, features = table.shape
        nodes, cells = self._nodes, table.ravel()
        first_cell = (np.arange(rows) * features)[:, None]
        node = np.broadcast_to(nodes.roots, (rows, len(nodes.roots)))
        for _ in range(self.depth):
            reached = cells.take(nodes.feature.take(node) + first_cell)
            # A leaf leads to itself whatever is compared: its threshold is infinite.
            node = nodes.left.take(node) + (reached >= nodes.threshold.take(node))
        scores: Floats = nodes.value.take(node).sum(axis=1, dtype=np.float32)
        return scores

    @cached_property
    def _nodes(self) -> _Nodes:
        left = np.array(self.left, dtype=np.intp)
        leaf = left == np.arange(len(left))
        return _Nodes(
            roots=np.array(self.roots, dtype=np.intp),
            feature=np.array(self.feature, dtype=np.intp),
            threshold=np.where(leaf, np.inf, self.threshold).astype(np.float32),
            left=left,
            value=np.array(self.value, dtype=np.float32),
        )


class _Nodes(NamedTuple):
    roots: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: Floats
    left: NDArray[np.intp]
    value: Floats
