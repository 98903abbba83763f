"""Why a bundle is not proven."""

from __future__ import annotations

from farthing.errors import StartupError


class ProofFailed(StartupError):
    """A processor's answers differ from the native ones beyond the stated bound, or it has none."""


class ProofUnavailable(StartupError):
    """This machine can neither be nor emulate a processor that the proof needs."""
