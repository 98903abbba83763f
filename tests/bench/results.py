"""One measured figure, and what may be said of many samples."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Result:
    """`ratio` is ours over the peer's, in `unit` each; NaN where there is no peer.

    `target` is a text that stands beside the figure; `met` says whether the figure reaches it,
    None where it sets none.
    """

    name: str
    ours: float
    peer: float = math.nan
    ratio: float = math.nan
    unit: str = ""
    target: str = ""
    met: bool | None = None

    def as_json(self) -> dict[str, object]:
        """The fields, with null for what there is not."""
        return {name: None if value != value else value for name, value in vars(self).items()}


def compared(
    name: str, ours: float, peer: float, unit: str, target: str = "", met: bool | None = None
) -> Result:
    """A result with its ratio."""
    return Result(name, ours, peer, ours / peer if peer else math.nan, unit, target, met)


def at_most(name: str, ours: float, bound: float, unit: str) -> Result:
    """A result with a bound of its own and no peer."""
    return Result(name, ours, unit=unit, target=f"≤ {bound:g} {unit}", met=ours <= bound)


def at_least(name: str, ours: float, bound: float, unit: str) -> Result:
    return Result(name, ours, unit=unit, target=f"≥ {bound:g} {unit}".rstrip(), met=ours >= bound)


def p50(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    return statistics.quantiles(samples, n=20)[-1] if len(samples) > 1 else samples[0]
