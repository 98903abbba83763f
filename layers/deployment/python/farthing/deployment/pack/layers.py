"""An image's layers: what each holds and how large it is, on disk and in a registry."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from farthing.deployment.pack.engine import PackError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.deployment.pack.engine import Engine

# Uncompressed, all layers together. https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
# (2026-08), and Function Compute's limit for container images (2026-04).
IMAGE_BYTES_MAX = 10 * 1024**3
CHUNK_BYTES = 1 << 20

# What a layer holds, by the folder that it fills.
CONTENTS = {
    "opt/python": "wheels",
    "opt/models": "models",
    "opt/indexes": "indexes",
    "opt/sbom": "bill of materials",
    "var/task": "code",
}
# Layers that say by name what they hold; a function without an index has an empty layer.
NAMED = ("models", "indexes")


class Layer(msgspec.Struct, frozen=True):
    """One image layer; `digest` is of its uncompressed content, sizes are bytes."""

    holds: str
    digest: str
    compressed: int
    uncompressed: int


def read_layers(engine: Engine, image: str) -> list[Layer]:
    """The image's layers from the base up, as a registry would hold them (gzip)."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        engine.export(image, archive)
        with tarfile.open(archive) as content:
            return [_layer(content, name, digest) for name, digest in _layer_files(content)]


def refuse_too_large(image: str, layers: Iterable[Layer], bytes_max: int = IMAGE_BYTES_MAX) -> None:
    """Raises `PackError` for an image that neither Lambda nor Function Compute would take."""
    total = sum(layer.uncompressed for layer in layers)
    if total > bytes_max:
        raise PackError(
            f"{image} is {total / 1e9:.1f} GB uncompressed; Lambda and Function Compute take "
            f"images up to {bytes_max / 1024**3:g} GiB. Leave models or wheels out of it."
        )


def _layer_files(archive: tarfile.TarFile) -> list[tuple[str, str]]:
    """Member name and uncompressed digest of each layer, in an OCI layout or a docker archive."""
    names = set(archive.getnames())
    if "index.json" in names:
        index = _json(archive, "index.json")
        manifest = _json(archive, _blob(index["manifests"][0]["digest"]))
        members = [_blob(layer["digest"]) for layer in manifest["layers"]]
        config = _json(archive, _blob(manifest["config"]["digest"]))
    else:
        entry = _json(archive, "manifest.json")[0]
        members, config = entry["Layers"], _json(archive, entry["Config"])
    return list(zip(members, config["rootfs"]["diff_ids"], strict=True))


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(archive: tarfile.TarFile, name: str) -> Any:
    content = archive.extractfile(name)
    return json.load(content) if content else None


def _layer(archive: tarfile.TarFile, name: str, digest: str) -> Layer:
    member = archive.extractfile(name)
    if member is None:  # pragma: no cover - an archive that contradicts itself
        raise PackError(f"The image's archive lacks its layer {name}. Build it again.")
    raw = member.read()
    is_compressed = raw[:2] == b"\x1f\x8b"
    plain: IO[bytes] = io.BytesIO(gzip.decompress(raw) if is_compressed else raw)
    uncompressed = plain.seek(0, io.SEEK_END)
    plain.seek(0)
    compressed = len(raw) if is_compressed else _compressed_size(plain)
    plain.seek(0)
    with tarfile.open(fileobj=plain) as files:
        holds = _holds(files)
    return Layer(holds, digest, compressed, uncompressed)


def _compressed_size(content: IO[bytes]) -> int:
    packer = zlib.compressobj(wbits=31)
    size = 0
    while chunk := content.read(CHUNK_BYTES):
        size += len(packer.compress(chunk))
    return size + len(packer.flush())


def _holds(files: tarfile.TarFile) -> str:
    """`wheels`, `models: product-classifier`, `indexes: none` …; what is not ours is the base."""
    found: dict[str, set[str]] = {}
    for name in files.getnames():
        parts = name.removeprefix("./").split("/")
        content = CONTENTS.get("/".join(parts[:2]))
        if content:
            found.setdefault(content, set()).update(parts[2:3])
        elif len(parts) > 2:
            return "base"
    if not found:
        return "base"
    content, entries = next(iter(found.items()))
    return f"{content}: {', '.join(sorted(entries)) or 'none'}" if content in NAMED else content
