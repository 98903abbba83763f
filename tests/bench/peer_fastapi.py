"""The peer: what a developer writes first with FastAPI and ONNX Runtime. Nothing is metered."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
from fastapi import FastAPI, Response
from pydantic import BaseModel
from tokenizers import Tokenizer

BUNDLE = Path(os.environ["BENCH_BUNDLE"])
MAX_TOKENS = int(os.environ["BENCH_MAX_TOKENS"])

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("BENCH_THREADS", "0"))
session = onnxruntime.InferenceSession(
    BUNDLE / "model.onnx", options, providers=["CPUExecutionProvider"]
)
tokenizer = Tokenizer.from_file(str(BUNDLE / "tokenizer.json"))
tokenizer.enable_padding()
tokenizer.enable_truncation(MAX_TOKENS)


class EmbeddingsRequest(BaseModel):
    """OpenAI's request, as far as it is used."""

    input: str | list[str]
    model: str | None = None
    encoding_format: str = "float"


@app.get("/readyz")
def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/v1/embeddings")
def embeddings(request: EmbeddingsRequest) -> Response:
    """As fast as is still plain: the answer is encoded by msgspec, as Farthing's is."""
    return Response(msgspec.json.encode(_answer(request)), media_type="application/json")


@app.post("/plain/v1/embeddings")
def plain_embeddings(request: EmbeddingsRequest) -> dict[str, object]:
    """As tutorials write it: a dict, encoded by FastAPI."""
    return _answer(request)


def _answer(request: EmbeddingsRequest) -> dict[str, object]:
    texts = [request.input] if isinstance(request.input, str) else request.input
    encodings = tokenizer.encode_batch(texts)
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(None, inputs)[0]
    weights = mask[:, :, None].astype(np.float32)
    pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    tokens = int(mask.sum())
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors.tolist())
        ],
        "model": BUNDLE.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
