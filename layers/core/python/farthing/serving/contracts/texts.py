"""What contracts share: their inputs, the way of those that ask about texts, an answer's frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from farthing.serving import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import TextAnswerer
    from farthing.settings import Settings

# Blank texts are refused in our own words, so the rule is only published here.
NOT_BLANK = {"minLength": 1, "pattern": r"\S"}
Text = Annotated[str, msgspec.Meta(description="A text; not blank.", extra_json_schema=NOT_BLANK)]
Priority = Literal["normal", "low"]
Webhook = Annotated[
    str,
    msgspec.Meta(
        max_length=2048,
        description="An https:// address that is told when a job with priority low has ended.",
    ),
]
Texts = Text | Annotated[list[Text], msgspec.Meta(min_length=1)]


class TextContract:
    """A contract whose answerer is a model of texts, with a row of the answer for each of them."""

    names = "model"
    is_cached = True
    statuses: Sequence[int] = (200,)

    def work(self, request: Any, answerer: TextAnswerer, settings: Settings) -> Any:
        """The request's texts as the model's work; what cannot be answered whole is refused."""
        texts = self.texts(request)
        limits.check_inputs(texts, settings)
        self.check(request, answerer)
        row_bytes = self.row_bytes_max(request, answerer)
        limits.check_answer_fits(len(texts), row_bytes, self.shrink_hint(request), settings)
        return answerer.prepare(texts)

    def texts(self, request: Any) -> Sequence[str]:
        """The inputs of the request."""
        raise NotImplementedError

    def check(self, request: Any, answerer: TextAnswerer) -> None:
        """Raises `InvalidRequest` for what only the model can tell is wrong."""
        raise NotImplementedError

    def row_bytes_max(self, request: Any, answerer: TextAnswerer) -> int:
        """The most bytes that one input can add to the answer's JSON."""
        raise NotImplementedError

    def shrink_hint(self, request: Any) -> str:
        """What to ask for instead to get a smaller answer."""
        raise NotImplementedError


def check_webhook(request: Any) -> None:
    """Raises `ValueError` where a webhook is named, and nothing would call it."""
    if request.webhook is not None and request.priority != "low":
        raise ValueError("`webhook` is for requests with priority low")


def as_list(texts: str | list[str]) -> Sequence[str]:
    """The texts, whether one was sent or several."""
    return [texts] if isinstance(texts, str) else texts


def answer_schema(charge: str = "Charge", **properties: object) -> dict[str, object]:
    """The JSON schema of an answer with these properties, its usage and its charge."""
    framed: dict[str, object] = {
        **properties,
        "usage": {"$ref": "#/components/schemas/Usage"},
        "charge": {"$ref": f"#/components/schemas/{charge}"},
    }
    return {"type": "object", "required": list(framed), "properties": framed}
