"""The floor of a cold start: the same model in the fewest lines. No check, no price, no server.

Handed to the image's Python as text. Arguments: the bundle's folder, a text.
"""

import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder, text = sys.argv[1:]
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
options = onnxruntime.SessionOptions()
# As a bundle is meant to be opened: its graph is optimised already, and one core runs it.
options.intra_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
providers = ["CPUExecutionProvider"]
session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=providers)
encoding = tokenizer.encode(text)
ids = np.array([encoding.ids], dtype=np.int64)
mask = np.array([encoding.attention_mask], dtype=np.int64)
inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
output = session.run(None, inputs)[0]
sys.stdout.write(f"{float(output.ravel()[0])}\n")
sys.stdout.flush()
