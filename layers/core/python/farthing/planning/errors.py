"""What cannot be planned."""

from __future__ import annotations

from farthing.errors import FarthingError


class PlanningError(FarthingError):
    """No quotation or tuning can be made of what was given."""


class Unfit(PlanningError):
    """An option does not fit the work: it is left out of the comparison, with this reason."""
