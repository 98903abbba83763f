"""The files of a bundle: model, tokenizer, licence and a manifest with their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.forge.storage import room_for
from farthing.inference.bundle import (
    ENCODER_FILES,
    FORMAT,
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    read_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tokenizers import Tokenizer

    from farthing.forge.export.graph import Graph

Plain = str | int | float | bool


@dataclass(frozen=True)
class Description:
    """What a manifest says apart from digests; the order of the fields is the manifest's.

    `batch_drift` and `accuracy` are measured on the packed bundle itself, so the first packing,
    which nobody but `evaluate` opens, has none. `receipt` is the sha256 of the contest's receipt,
    if there was one.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    pooling: str
    normalize: bool
    max_tokens: int
    dims: int
    quantisation: Mapping[str, Plain]
    licence: str
    origin: str
    batch_drift: Mapping[str, Plain] = field(default_factory=lambda: dict(UNMEASURED_DRIFT))
    accuracy: Mapping[str, Plain] = field(default_factory=dict)
    encoder: str = "wordpiece"
    receipt: str = ""


# A drift that forbids batching, until it is measured.
UNMEASURED_DRIFT: Mapping[str, Plain] = {
    "texts": 0,
    "batch": 0,
    "labels_changed": -1,
    "min_cosine": -1.0,
    "max_abs_difference": -1.0,
}


def write_parts(folder: Path, graph: Graph, tokenizer: Tokenizer) -> None:
    """Writes model and tokenizer into `folder`, the tokenizer without padding and truncation."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with room_for(folder):
        folder.mkdir(parents=True, exist_ok=True)
        graph.save(folder / MODEL_FILE)
        (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")


def write_manifest(folder: Path, description: Description) -> str:
    """Writes `manifest.json` for the files that `folder` has; gives the bundle's digest."""
    is_wordpiece = description.encoder == "wordpiece"
    files = (MODEL_FILE, ENCODER_FILES[description.encoder])
    manifest: dict[str, Any] = {
        # What an older reader can open, it may.
        "format": 1 if is_wordpiece else FORMAT,
        "name": description.name,
        "task": description.task,
        "labels": list(description.labels),
        "pooling": description.pooling,
        "normalize": description.normalize,
        "max_tokens": description.max_tokens,
        "dims": description.dims,
        "files": {name: file_entry(folder / name) for name in files},
        "quantisation": dict(description.quantisation),
        "batch_drift": dict(description.batch_drift),
        "accuracy": dict(description.accuracy),
        "licence": description.licence,
        "origin": description.origin,
        **({} if is_wordpiece else {"encoder": description.encoder}),
        **({"receipt": description.receipt} if description.receipt else {}),
    }
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    with room_for(folder):
        (folder / MANIFEST_FILE).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def description_of(folder: Path) -> Description:
    """What the manifest in `folder` says, to be said again with something added."""
    _, manifest = read_manifest(folder)
    return Description(
        name=manifest.name,
        task=manifest.task,
        labels=manifest.labels,
        pooling=manifest.pooling,
        normalize=manifest.normalize,
        max_tokens=manifest.max_tokens,
        dims=manifest.dims,
        quantisation=manifest.quantisation,
        licence=manifest.licence,
        origin=manifest.origin,
        encoder=manifest.encoder,
    )


def file_entry(path: Path) -> dict[str, Plain]:
    """The manifest's line about one file: its sha256 and its size in bytes."""
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def write_licences(folder: Path, licence: str, notice: str) -> None:
    """Writes the files LICENSE and NOTICE."""
    with room_for(folder):
        (folder / "LICENSE").write_text(licence, encoding="utf-8")
        (folder / "NOTICE").write_text(notice.strip() + "\n", encoding="utf-8")
