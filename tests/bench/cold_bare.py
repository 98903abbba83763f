"""A fresh process: the same bundle in the fewest lines. No check, no price, no HTTP.

Run by `cold`. Arguments: the bundle's folder, a text. Prints a mark as JSON.
"""

import sys
from time import CLOCK_MONOTONIC, clock_gettime

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder, text = sys.argv[1:]
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
encoding = tokenizer.encode(text)
ids = np.array([encoding.ids], dtype=np.int64)
mask = np.array([encoding.attention_mask], dtype=np.int64)
inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
hidden = session.run(None, inputs)[0]
pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
vector = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
answered = clock_gettime(CLOCK_MONOTONIC)
print(f'{{"answer": {answered}}}')
