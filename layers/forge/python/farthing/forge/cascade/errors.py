"""Why a cascade is not made.

CascadeInvalid    the stages or the rows do not allow one
CascadeUseless    it would cost accuracy, or save too little
"""

from __future__ import annotations

from farthing.errors import FarthingError, StartupError


class CascadeInvalid(StartupError):
    """A cascade was asked for that cannot be made of these stages or rows."""


class CascadeUseless(FarthingError):
    """The stages make no cascade that is worth having."""
