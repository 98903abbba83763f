"""How a contest ends without a winner, or does not begin.

ContestInvalid    it cannot be held as asked
FloorNotMet       nobody is accurate enough
ChampionStays     the challenger does not win by the margin
"""

from __future__ import annotations

from farthing.errors import FarthingError, StartupError


class ContestInvalid(StartupError):
    """A contest was asked for that cannot be held."""


class FloorNotMet(FarthingError):
    """No candidate has the accuracy that was asked for."""


class ChampionStays(FarthingError):
    """A challenger does not replace the bundle that is there."""
