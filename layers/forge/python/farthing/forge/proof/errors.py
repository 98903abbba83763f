"""Why a bundle is not proven."""

from __future__ import annotations

from farthing.errors import StartupError


class ProofFailed(StartupError):
    """A processor's answers differ from the native ones beyond the stated bound, or it has none."""


class ProofUnavailable(StartupError):
    """A processor was asked for that this machine can neither be nor emulate."""
