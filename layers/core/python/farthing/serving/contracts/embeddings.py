"""`POST /v1/embeddings`: a vector for each input, in OpenAI's shape."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Annotated, Literal, cast

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

# A component as JSON prints a float64 that was a float32, with its comma: '-0.0341964587777853,'.
FLOAT_BYTES_MAX = 22
FLOAT32_BYTES = 4
ITEM_BYTES_MAX = 64


class EmbeddingsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to embed; `dimensions` keeps the first components, scaled back to length 1.

    With priority `low` the answer is a job, which is cheaper and may take a while.
    """

    input: Texts
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    user: str | None = None
    priority: Priority = "normal"
    webhook: Webhook | None = None

    def __post_init__(self) -> None:
        check_webhook(self)


ANSWER_SCHEMA = answer_schema(
    object={"const": "list"},
    data={
        "type": "array",
        "items": {
            "type": "object",
            "required": ["object", "index", "embedding"],
            "properties": {
                "object": {"const": "embedding"},
                "index": {"type": "integer", "minimum": 0},
                "embedding": {
                    "anyOf": [
                        {"type": "array", "items": {"type": "number"}},
                        {"type": "string", "description": "base64 of little-endian float32"},
                    ]
                },
            },
        },
    },
    model={"type": "string"},
)


class Embeddings(TextContract):
    task = "embed"
    answered_by = "embed"
    operation = "embed"
    path = "/v1/embeddings"
    summary = "Embed texts as vectors of length 1 (OpenAI's shape)"
    request_type: type[msgspec.Struct] = EmbeddingsRequest
    answer_schema = ANSWER_SCHEMA

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"input": list(texts)}

    def texts(self, request: EmbeddingsRequest) -> Sequence[str]:
        return as_list(request.input)

    def check(self, request: EmbeddingsRequest, answerer: TextAnswerer) -> None:
        if request.dimensions is not None and request.dimensions > answerer.dims:
            raise InvalidRequest(
                f"`dimensions` is {request.dimensions}; model {answerer.name} has "
                f"{answerer.dims}. Ask for 1 to {answerer.dims}, or leave it out for all."
            )

    def row_bytes_max(self, request: EmbeddingsRequest, answerer: TextAnswerer) -> int:
        dims = request.dimensions or answerer.dims
        if request.encoding_format == "base64":
            return ITEM_BYTES_MAX + -(-dims * FLOAT32_BYTES // 3) * 4
        return ITEM_BYTES_MAX + dims * FLOAT_BYTES_MAX

    def shrink_hint(self, request: EmbeddingsRequest) -> str:
        if request.encoding_format == "float":
            return 'ask for "encoding_format": "base64", which takes a quarter of the bytes'
        return "ask for fewer dimensions"

    def answer(
        self, request: EmbeddingsRequest, answerer: TextAnswerer, result: Rows, request_id: str
    ) -> Answer:
        vectors = _shortened(result, request.dimensions)
        encoded: list[object]
        if request.encoding_format == "base64":
            encoded = [
                base64.b64encode(vectors[index].tobytes()).decode() for index in range(len(vectors))
            ]
        else:
            encoded = vectors.tolist()
        data = [
            {"object": "embedding", "index": index, "embedding": embedding}
            for index, embedding in enumerate(encoded)
        ]
        return Answer({"object": "list", "data": data, "model": answerer.name})


def _shortened(rows: Rows, dimensions: int | None) -> Rows:
    """The first components of each row, scaled back to length 1; the rows as they are for None."""
    if dimensions is None:
        return rows
    shortened = rows[:, :dimensions].copy()
    for index in range(len(rows)):
        row = shortened[index]
        row /= math.sqrt(float(row @ row)) or 1.0
    return cast("Rows", shortened)
