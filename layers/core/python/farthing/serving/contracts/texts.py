"""What every contract over texts shares: its inputs, and the frame of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# Blank texts are refused in our own words, so the rule is only published here.
NOT_BLANK = {"minLength": 1, "pattern": r"\S"}
Text = Annotated[str, msgspec.Meta(description="A text; not blank.", extra_json_schema=NOT_BLANK)]
Texts = Text | Annotated[list[Text], msgspec.Meta(min_length=1)]


def as_list(texts: str | list[str]) -> Sequence[str]:
    """The texts, whether one was sent or several."""
    return [texts] if isinstance(texts, str) else texts


def answer_schema(**properties: object) -> dict[str, object]:
    """The JSON schema of an answer with these properties, its model, usage and charge."""
    framed: dict[str, object] = {
        **properties,
        "model": {"type": "string"},
        "usage": {"$ref": "#/components/schemas/Usage"},
        "charge": {"$ref": "#/components/schemas/Charge"},
    }
    return {"type": "object", "required": list(framed), "properties": framed}
