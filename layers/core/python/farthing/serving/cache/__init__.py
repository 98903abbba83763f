"""Answers that were given before: rows of texts, kept in the process and, if asked, beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.serving.cache.answering import AnswerCache
    from farthing.settings import Settings


def open_cache(settings: Settings) -> AnswerCache | None:
    """The cache that the settings name; None where it is off, or keeps nothing for any time."""
    if settings.cache == "off" or settings.cache_ttl_s == 0:
        return None
    from farthing.serving.cache.answering import AnswerCache

    return AnswerCache(settings)
