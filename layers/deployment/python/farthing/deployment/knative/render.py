"""Overlays as `kubectl kustomize` renders them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding
from farthing.deployment.knative.overlay import Overlay

if TYPE_CHECKING:
    from farthing.deployment.project import Project

OVERLAYS = "knative/overlays"
RENDER_S_MAX = 300
# What kustomize prints is plain YAML, and long: libyaml reads it eight times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def overlay_names(project: Project) -> list[str]:
    """The folders of knative/overlays."""
    return sorted(path.name for path in (project.root / OVERLAYS).glob("*") if path.is_dir())


def renderer() -> list[str] | None:
    """The command before the folder's name: kubectl's or the standalone kustomize, or None.

    Looked for on the PATH, and beside the running Python, where a wheel of kubectl puts it.
    """
    for name, verb in (("kubectl", "kustomize"), ("kustomize", "build")):
        beside = Path(sys.executable).with_name(name)
        found = shutil.which(name) or (str(beside) if beside.is_file() else None)
        if found:
            return [found, verb]
    return None


def render(project: Project, name: str, command: list[str]) -> Overlay:
    """The overlay's objects. Raises `Unreadable` with what kustomize said where it fails."""
    file = f"{OVERLAYS}/{name}"
    try:
        done = subprocess.run(  # noqa: S603 - our own tool on the project's own folder
            [*command, str(project.root / file)],
            capture_output=True,
            text=True,
            check=False,
            timeout=RENDER_S_MAX,
        )
    except subprocess.TimeoutExpired:
        raise Unreadable(
            Finding(file, "", f"It did not render within {RENDER_S_MAX} s.", "Look for a loop.")
        ) from None
    if done.returncode:
        reason = done.stderr.strip().removeprefix("error: ").replace(str(project.root), ".")
        raise Unreadable(Finding(file, "", f"It does not render: {reason[:600]}.", "Correct it."))
    documents = [it for it in yaml.load_all(done.stdout, Loader=LOADER) if it is not None]
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise Unreadable(Finding(file, "", "It renders to what is no object.", "Correct it."))
    return Overlay(project, name, documents)
