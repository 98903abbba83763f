"""`POST /v1/classify`: the labels of each input, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving.contracts.texts import (
    Priority,
    TextContract,
    Texts,
    Webhook,
    answer_schema,
    as_list,
    check_webhook,
)
from farthing.serving.ports import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Rows, TextAnswerer

# '{"label":"","score":0.12345678901234567},' with room for an exponent.
SCORE_BYTES_MAX = 48
# A character may become six when escaped: \u0000.
ESCAPED_BYTES_MAX = 6


class ClassifyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to classify; `top_k` leaves all labels when absent.

    With priority `low` the answer is a job, which is cheaper and may take a while.
    """

    inputs: Texts
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    model: str | None = None
    priority: Priority = "normal"
    webhook: Webhook | None = None

    def __post_init__(self) -> None:
        check_webhook(self)


ANSWER_SCHEMA = answer_schema(
    results={
        "type": "array",
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["label", "score"],
                "properties": {
                    "label": {"type": "string"},
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        },
    },
    model={"type": "string"},
)


class Classify(TextContract):
    task = "classify"
    answered_by = "classify"
    operation = "classify"
    path = "/v1/classify"
    summary = "Classify texts; each input's labels come best first"
    request_type: type[msgspec.Struct] = ClassifyRequest
    answer_schema = ANSWER_SCHEMA

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"inputs": list(texts)}

    def texts(self, request: ClassifyRequest) -> Sequence[str]:
        return as_list(request.inputs)

    def check(self, request: ClassifyRequest, answerer: TextAnswerer) -> None:
        labels = len(answerer.labels)
        if request.top_k is not None and request.top_k > labels:
            raise InvalidRequest(
                f"`top_k` is {request.top_k}; model {answerer.name} has {labels} labels. "
                f"Ask for 1 to {labels}, or leave top_k out for all."
            )

    def row_bytes_max(self, request: ClassifyRequest, answerer: TextAnswerer) -> int:
        longest = max(len(label) for label in answerer.labels) * ESCAPED_BYTES_MAX
        return (request.top_k or len(answerer.labels)) * (longest + SCORE_BYTES_MAX)

    def shrink_hint(self, request: ClassifyRequest) -> str:
        return "ask for a smaller top_k"

    def answer(
        self, request: ClassifyRequest, answerer: TextAnswerer, result: Rows, request_id: str
    ) -> Answer:
        labels = answerer.labels
        results = []
        for scores in result.tolist():
            best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
            results.append(
                [
                    {"label": labels[index], "score": scores[index]}
                    for index in best_first[: request.top_k]
                ]
            )
        body: dict[str, object] = {"model": answerer.name, "results": results}
        stages_ns, models = getattr(result, "stages_ns", None), getattr(result, "models", None)
        return Answer(body, stages_ns=stages_ns, models=models)
