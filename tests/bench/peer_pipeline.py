"""A peer of batch jobs: the `transformers` pipeline with float32 weights, on one thread.

Run by `batch_pipeline`, in the forge's environment. Arguments: the task, the weights (a package
that has a folder `model`, or a folder), a JSON list of texts, how many texts a batch has, 0 for the
pipeline's default. Prints JSON: texts a second, the loading left out.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers

WARM_UP = 20


def main() -> None:
    task, weights, file, batch = sys.argv[1:]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    sized = {"batch_size": int(batch)} if int(batch) else {}
    run = _embedder(weights, sized) if task == "embed" else _classifier(weights, sized)
    run(texts[:WARM_UP])
    started_s = time.perf_counter()
    found = run(texts)
    taken_s = time.perf_counter() - started_s
    if len(found) != len(texts):
        sys.exit("not every text has an answer")
    print(json.dumps({"texts_per_s": len(texts) / taken_s}))


def _embedder(package: str, sized: dict[str, int]) -> Any:
    """Vectors, pooled and scaled; as tensors, for lists of numbers would take it half as long."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {package} is not installed")
    folder = str(Path(spec.origin).parent / "model")
    extract = transformers.pipeline("feature-extraction", folder, dtype=torch.float32, device="cpu")

    def run(texts: list[str]) -> list[Any]:
        hidden = extract(texts, return_tensors=True, **sized)
        return [torch.nn.functional.normalize(text[0].mean(dim=0), dim=0) for text in hidden]

    return run


def _classifier(folder: str, sized: dict[str, int]) -> Any:
    """Labels by a head of the same size; the forge keeps its own head in a form of its own."""
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(Path(folder, "tokenizer.json")),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    classify = transformers.pipeline(
        "text-classification", model.eval(), tokenizer=tokenizer, device="cpu", truncation=True
    )
    return lambda texts: classify(texts, **sized)


if __name__ == "__main__":
    main()
