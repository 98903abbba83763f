"""A copy of the checkout to change by hand, as a user would."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COPIED = (
    "pyproject.toml", "requirements.lock", "template.yaml", "samconfig.toml", ".dockerignore",
    "functions", "infra", "knative", "layers",
)  # fmt: skip
LEFT_OUT = shutil.ignore_patterns("__pycache__", "models", "indexes", ".aws-sam")


def copy_checkout(folder: Path) -> Path:
    """The files that the checks read, in a folder of their own; bundles and indexes are linked."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        elif source.exists():
            shutil.copy(source, folder / name)
    for linked in ("models", "indexes"):
        (folder / "layers" / linked).symlink_to(ROOT / "layers" / linked)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")
