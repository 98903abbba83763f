"""A fresh process: the float32 model with transformers and PyTorch.

Run by `cold`, in the forge's environment. Arguments: the package with the weights, a text.
Prints a mark as JSON.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime

import torch
from transformers import AutoModel, AutoTokenizer

package, text = sys.argv[1:]
spec = find_spec(package)
if spec is None or spec.origin is None:
    sys.exit(f"the package {package} is not installed")
folder = str(Path(spec.origin).parent / "model")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
inputs = tokenizer([text], return_tensors="pt")
with torch.inference_mode():
    hidden = model(**inputs).last_hidden_state
mask = inputs["attention_mask"][:, :, None]
pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
vector = torch.nn.functional.normalize(pooled)
answered = clock_gettime(CLOCK_MONOTONIC)
print(f'{{"answer": {answered}}}')
