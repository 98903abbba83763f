"""The reference of the embedder: the float32 model, run by transformers and PyTorch.

Run by `accuracy`, in the forge's environment. Arguments: the package with the weights, a JSON
list of texts, the file to write float32 vectors of length 1 to.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

BATCH_TEXTS = 32


def main() -> None:
    package, texts_file, vectors_file = sys.argv[1:]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {package} is not installed")
    folder = str(Path(spec.origin).parent / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    texts = json.loads(Path(texts_file).read_text(encoding="utf-8"))
    vectors = []
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = texts[start : start + BATCH_TEXTS]
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None]
        pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors.append(torch.nn.functional.normalize(pooled).numpy())
    np.save(vectors_file, np.concatenate(vectors))


if __name__ == "__main__":
    main()
