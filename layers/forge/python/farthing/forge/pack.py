"""Writing a bundle: model, tokenizer, licence files and a manifest with their digests."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.inference.bundle import FORMAT, MODEL_FILE, TOKENIZER_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenizers import Tokenizer

    from farthing.forge.export.graph import Graph

Plain = str | int | float | bool


@dataclass(frozen=True)
class Description:
    """What a manifest says apart from digests; the order of the fields is the manifest's.

    `batch_drift` and `accuracy` are measured on the packed bundle itself, so the first packing,
    which nobody but `evaluate` opens, has none.
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
    folder.mkdir(parents=True, exist_ok=True)
    graph.save(folder / MODEL_FILE)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")


def write_manifest(folder: Path, description: Description) -> str:
    """Writes `manifest.json` for the files that `folder` has; gives the bundle's digest."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": description.name,
        "task": description.task,
        "labels": list(description.labels),
        "pooling": description.pooling,
        "normalize": description.normalize,
        "max_tokens": description.max_tokens,
        "dims": description.dims,
        "files": {name: file_entry(folder / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
        "quantisation": dict(description.quantisation),
        "batch_drift": dict(description.batch_drift),
        "accuracy": dict(description.accuracy),
        "licence": description.licence,
        "origin": description.origin,
    }
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    (folder / "manifest.json").write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def file_entry(path: Path) -> dict[str, Plain]:
    """The manifest's line about one file: its sha256 and its size in bytes."""
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def write_licences(folder: Path, licence: str, notice: str) -> None:
    """Writes the files LICENSE and NOTICE."""
    (folder / "LICENSE").write_text(licence, encoding="utf-8")
    (folder / "NOTICE").write_text(notice.strip() + "\n", encoding="utf-8")


def publish(built: Path, target: Path) -> None:
    """Puts the finished folder `built` where `target` is, replacing an older bundle as a whole.

    A build that fails half-way leaves the older bundle as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as aside:
        fresh = Path(aside) / "new"
        shutil.copytree(built, fresh)
        if target.exists():
            target.rename(Path(aside) / "old")
        fresh.rename(target)
