"""The peer: what a developer writes first with FastAPI and ONNX Runtime. Nothing is metered."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Response
from pydantic import BaseModel

from tests.bench.peer_model import Model

app = FastAPI()
model = Model()


class EmbeddingsRequest(BaseModel):
    """OpenAI's request, as far as it is used."""

    input: str
    model: str | None = None
    encoding_format: str = "float"


@app.get("/readyz")
def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/v1/embeddings")
def embeddings(request: EmbeddingsRequest) -> Response:
    """As fast as is still plain: the answer is encoded by msgspec, as Farthing's is."""
    (answer,) = model.answers([request.input])
    return Response(msgspec.json.encode(answer), media_type="application/json")


@app.post("/plain/v1/embeddings")
def plain_embeddings(request: EmbeddingsRequest) -> dict[str, object]:
    """As tutorials write it: a dict, encoded by FastAPI."""
    (answer,) = model.answers([request.input])
    return answer
