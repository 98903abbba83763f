"""A linear model as a bundle: table, graph and manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from farthing.errors import StartupError
from farthing.forge import pack
from farthing.forge.linear.graph import linear_graph
from farthing.inference.analysis import hashes_of
from farthing.inference.bundle import MODEL_FILE, NGRAMS_FILE
from farthing.inference.ngrams import STORED

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.linear.model import LinearModel


class HashesCollide(StartupError):
    """Two n-grams of a vocabulary have the same hash, so no table can tell them apart."""


def write_bundle(model: LinearModel, folder: Path, description: pack.Description) -> str:
    """Writes `ngrams.bin`, `model.onnx` and `manifest.json` into `folder`; gives the digest.

    The description's `encoder` and `quantisation` are filled in: they follow from the model.

    :raises HashesCollide: for a vocabulary that such a table cannot hold; of a million n-grams
        one in 37 million does.
    """
    vocabulary = model.vectoriser.vocabulary_
    hashes = hashes_of(vocabulary)
    order = np.argsort(hashes)
    sorted_hashes = hashes[order]
    if (sorted_hashes[1:] == sorted_hashes[:-1]).any():
        raise HashesCollide(
            f"The {len(vocabulary)} n-grams of the model were to be packed by their hashes, and "
            "two of them have the same. Leave out a few of the training texts."
        )
    columns = np.fromiter(vocabulary.values(), np.int64, len(vocabulary))[order]
    idf = model.vectoriser.idf_[columns].astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    linear_graph(model.weights[columns], idf, model.bias).save(folder / MODEL_FILE)
    (folder / NGRAMS_FILE).write_bytes(sorted_hashes.astype(STORED).tobytes())
    filled = replace(description, encoder=model.kind, quantisation={"scheme": "rows", "bits": 8})
    return pack.write_manifest(folder, filled)
