"""Writes the golden files beside this script: what the float32 models answer to twenty texts.

The embedder's vectors come from PyTorch, not from ONNX: an oracle that shares neither exporter nor
runtime with what it judges. The classifier's logits come from scikit-learn in double precision,
which knows neither our hashes nor our graph; it is fitted anew, so this needs FARTHING_DATA.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from farthing.forge.data.splits import load
from farthing.forge.linear.model import fit
from farthing.forge.pretrained import locate
from farthing.forge.recipe import find

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "forge"
TEXTS = [
    "apple iphone 8 plus 64gb silver",
    "apple iphone 8 plus 64 gb spacegrau",
    "samsung ue55nu7100 55 inch 4k ultra hd smart led tv with freeview hd",
    "bosch serie 4 sbe46mx00g full size integrated dishwasher",
    "indesit innex bwa 81483x w uk washing machine white",
    "sony a6500 mirrorless camera body",
    "intel xeon e3 1225 v6 4x 3.30ghz sockel 1151 box bx80677e31225v6",
    "smeg mp122n linea 21l black glass microwave with grill",
    "smeg cf33bp 60cm fridge freezer white",
    "liebherr k 313020 freestanding 297l fridge",
    "hotpoint rzaav22p under counter freezer a+ rating white",
    "kfd4952xd",
    "",
    " ",
    "!!!",
    "a",
    "Kühlschrank mit Gefrierfach, weiß, 180 cm – Größe XL",
    "スマートフォン 128GB ブラック",
    "📱 iPhone X 🎉 64GB",
    "freestanding frost free fridge freezer with water dispenser and ice maker " * 40,
]
DIGITS = 7


def main() -> None:
    """Writes both files."""
    write("golden-minilm-f32.json", {"texts": TEXTS, "vectors": sentence_vectors(TEXTS)})
    recipe = find("product-classifier")
    splits = load(recipe.data)
    model = fit("char_wb", splits.train, splits.labels, recipe.training.seed)
    # Without a single n-gram scikit-learn gives the bias alone, and so must we.
    logits = (model.vectoriser.transform(TEXTS) @ model.weights + model.bias).tolist()
    labels = list(model.labels)
    write("golden-classifier-f32.json", {"texts": TEXTS, "labels": labels, "logits": logits})


def sentence_vectors(texts: list[str]) -> list[list[float]]:
    """Mean over the tokens, scaled to length 1: what the model's authors define."""
    folder = locate(find("all-minilm-l6-v2").source, CACHE).folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()
    vectors = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).tolist())
    return vectors


def write(name: str, content: dict[str, Any]) -> None:
    """One JSON file with numbers of seven significant digits, a text or row per line."""
    lines = []
    for key, values in content.items():
        rows = ",\n    ".join(json.dumps(short(value), ensure_ascii=False) for value in values)
        lines.append(f"  {json.dumps(key)}: [\n    {rows}\n  ]")
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def short(value: Any) -> Any:
    """Numbers cut to seven significant digits, also inside a list."""
    if isinstance(value, list):
        return [float(f"{number:.{DIGITS}g}") for number in value]
    return value


if __name__ == "__main__":
    main()
