"""`POST /v1/classify`: the labels of each input, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving.contracts.texts import Texts, answer_schema, as_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Answerer, Rows

# '{"label":"","score":0.12345678901234567},' with room for an exponent.
SCORE_BYTES_MAX = 48
# A character may become six when escaped: \u0000.
ESCAPED_BYTES_MAX = 6


class ClassifyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to classify; `top_k` leaves all labels when absent."""

    inputs: Texts
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    model: str | None = None


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
    }
)


class Classify:
    task = "classify"
    path = "/v1/classify"
    summary = "Classify texts; each input's labels come best first"
    request_type: type[msgspec.Struct] = ClassifyRequest
    answer_schema = ANSWER_SCHEMA

    def texts(self, request: ClassifyRequest) -> Sequence[str]:
        return as_list(request.inputs)

    def check(self, request: ClassifyRequest, answerer: Answerer) -> None:
        if request.top_k is not None and request.top_k > answerer.dims:
            raise InvalidRequest(
                f"`top_k` is {request.top_k}; model {answerer.name} has {answerer.dims} labels. "
                f"Ask for 1 to {answerer.dims}, or leave top_k out for all."
            )

    def row_bytes_max(self, request: ClassifyRequest, answerer: Answerer) -> int:
        longest = max(len(label) for label in answerer.labels) * ESCAPED_BYTES_MAX
        return (request.top_k or answerer.dims) * (longest + SCORE_BYTES_MAX)

    def shrink_hint(self, request: ClassifyRequest) -> str:
        return "ask for a smaller top_k"

    def answer(self, request: ClassifyRequest, answerer: Answerer, rows: Rows) -> dict[str, object]:
        labels = answerer.labels
        results = []
        for scores in rows.tolist():
            best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
            results.append(
                [
                    {"label": labels[index], "score": scores[index]}
                    for index in best_first[: request.top_k]
                ]
            )
        return {"model": answerer.name, "results": results}
