"""Texts of several calls, gathered and computed together on the threads that compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.inference.batcher.gatherer import Gatherer

if TYPE_CHECKING:
    from farthing.settings import Settings


def open_batcher(settings: Settings) -> Gatherer:
    """A batcher with a thread for each call that the settings let be computed at once."""
    return Gatherer(settings.calls_at_once, settings.queue_max_ms)
