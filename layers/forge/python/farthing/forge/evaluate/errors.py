"""What cannot be measured."""

from __future__ import annotations

from farthing.errors import StartupError


class Unmeasurable(StartupError):
    """What was asked to be measured gives no answer, or there are no rows to measure it on."""
