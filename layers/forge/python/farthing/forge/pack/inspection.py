"""A bundle looked into: what it states, what its graph is made of, what lies beside it."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
import onnx
from onnx import TensorProto
from tokenizers import Tokenizer

from farthing.forge.evaluate.parameters import count_parameters
from farthing.forge.pack.card import CARD_FILE
from farthing.inference.bundle import MANIFEST_FILE, Bundle
from farthing.inference.ngrams import STORED

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, ValueInfoProto


class Tensor(msgspec.Struct, frozen=True):
    """An input or output of the graph; a dimension is a number, or a name where it varies."""

    name: str
    type: str
    shape: tuple[int | str, ...]


class Inspection(msgspec.Struct, frozen=True):
    """All of it in plain values; every file of the manifest was found to have its digest.

    `manifest` is the file as it is written. `files` are the bytes of all files in the folder,
    those without a digest, too. `operators` counts the graph's nodes by type. `parameters` are
    the numbers learnt; `stored` the elements of the graph's constants by type, scales included.
    `vocabulary` counts pieces of words, or n-grams.
    """

    digest: str
    manifest: dict[str, Any]
    files: dict[str, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    opsets: dict[str, int]
    parameters: int
    stored: dict[str, int]
    vocabulary: int
    has_card: bool


def inspect(folder: Path) -> Inspection:
    """What the bundle in `folder` is; raises as `Bundle.open` for one that is not whole."""
    bundle = Bundle.open(folder)
    model = onnx.load(bundle.model_file)
    operators = Counter(node.op_type for node in model.graph.node)
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    return Inspection(
        digest=bundle.digest,
        manifest=json.loads((folder / MANIFEST_FILE).read_bytes()),
        files=files,
        inputs=tuple(map(_tensor, model.graph.input)),
        outputs=tuple(map(_tensor, model.graph.output)),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        opsets={opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        parameters=count_parameters(bundle.model_file),
        stored=_stored(model),
        vocabulary=_vocabulary(bundle),
        has_card=CARD_FILE in files,
    )


def _tensor(value: ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in kind.shape.dim
    )
    return Tensor(value.name, TensorProto.DataType.Name(kind.elem_type).lower(), shape)


def _stored(model: ModelProto) -> dict[str, int]:
    elements: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        elements[TensorProto.DataType.Name(tensor.data_type).lower()] += prod(tensor.dims)
    return dict(sorted(elements.items(), key=lambda item: (-item[1], item[0])))


def _vocabulary(bundle: Bundle) -> int:
    if bundle.manifest.encoder == "wordpiece":
        return int(Tokenizer.from_file(str(bundle.encoder_file)).get_vocab_size())
    return bundle.encoder_file.stat().st_size // STORED.itemsize
