"""A bundle's embeddings without Farthing: what the peers' servers have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

BUNDLE = Path(os.environ["BENCH_BUNDLE"])
MAX_TOKENS = int(os.environ["BENCH_MAX_TOKENS"])
# 0 leaves it to ONNX Runtime, which takes every core.
THREADS = int(os.environ.get("BENCH_THREADS", "0"))


class Model:
    """Texts to vectors of length 1, as a developer writes it."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self._session = onnxruntime.InferenceSession(
            BUNDLE / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(BUNDLE / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def answers(self, texts: Sequence[str]) -> list[dict[str, object]]:
        """OpenAI's answer for each text, as if each had been a request of its own."""
        encodings = self._tokenizer.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, inputs)[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return [
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": vector}],
                "model": BUNDLE.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
            for vector, tokens in zip(vectors.tolist(), mask.sum(axis=1).tolist(), strict=True)
        ]
