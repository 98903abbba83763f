"""A recipe as TOML that reads back as the same recipe, defaults spelt out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import tomli_w

if TYPE_CHECKING:
    from farthing.forge.recipe import Recipe


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe; what it leaves open, TOML leaves out."""
    plain = _without_nothing(msgspec.to_builtins(recipe))
    text: str = tomli_w.dumps(plain, multiline_strings=True)
    return text


def _without_nothing(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
