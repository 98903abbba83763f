"""The floor of a cold start: the same model in the fewest lines. No check, no price, no server.

Handed to the image's Python as text. Arguments: the bundle's folder, a text. A linear model has no
tokenizer: its table is read, and any forty n-grams stand for the text's own.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder, text = sys.argv[1:]
if Path(folder, "tokenizer.json").exists():
    from tokenizers import Tokenizer

    ids = np.array([Tokenizer.from_file(f"{folder}/tokenizer.json").encode(text).ids])
    mask = np.ones_like(ids)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
else:
    table = np.fromfile(f"{folder}/ngrams.bin", dtype=np.uint64)
    ids = np.searchsorted(table, table[:40])[None] + 1
    inputs = {"input_ids": ids, "counts": np.ones(ids.shape, dtype=np.float32)}
options = onnxruntime.SessionOptions()
# As a bundle is meant to be opened: its graph is optimised already, and one core runs it.
options.intra_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
providers = ["CPUExecutionProvider"]
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=providers)
output = session.run(None, inputs)[0]
sys.stdout.write(f"{float(output.ravel()[0])}\n")
sys.stdout.flush()
