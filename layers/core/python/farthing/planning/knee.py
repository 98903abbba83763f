"""How many calls in flight at once one core is worth being given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# More calls in flight are worth having while each step brings this much more throughput.
GAIN_MIN = 1.05


class Level(msgspec.Struct, frozen=True):
    """So many calls in flight all the time on one core."""

    in_flight: int
    calls_per_s: float
    p50_ms: float


def knee_of(levels: Sequence[Level]) -> int | None:
    """The most calls in flight that are still worth it: each step up to them gains 5 % or more."""
    knee = None
    for before, level in zip([None, *levels], levels, strict=False):
        if before is not None and level.calls_per_s < before.calls_per_s * GAIN_MIN:
            break
        knee = level.in_flight
    return knee
