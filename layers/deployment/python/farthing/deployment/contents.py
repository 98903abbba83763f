"""What ships in a function's image: bundles of its task, indexes of its bundles' vectors."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from farthing.deployment.findings import Finding
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Function, Project

DESCRIPTION = "pyproject.toml"
# The layer whose functions answer from an index, with the vectors of an embedder.
SEARCH = "search"
EMBEDS = "embed"


def check_contents(project: Project, name: str, function: Function) -> Iterator[Finding]:
    """Models and indexes that are not in the tree, or that the function cannot use."""
    at = f"tool.farthing.functions.{name}"
    for model in function.models:
        yield from _check_model(project, at, name, function, model)
    for index in function.indexes:
        yield from _check_index(project, at, function, index)
    served = FUNCTIONS.get(name)
    if served is not None and _layer_of(served.loader_module) == SEARCH and not function.indexes:
        yield Finding(
            DESCRIPTION,
            f"{at}.indexes",
            f"{name} has no index to answer from.",
            "Name a folder of layers/indexes.",
        )
    if function.indexes and SEARCH not in function.layers:
        yield Finding(
            DESCRIPTION,
            f"{at}.indexes",
            f"{name} ships an index, and has no layer that reads one.",
            f'Add "{SEARCH}" to its layers.',
        )


def _check_model(
    project: Project, at: str, name: str, function: Function, model: str
) -> Iterator[Finding]:
    manifest = _manifest(project, "models", model)
    if manifest is None:
        yield Finding(
            DESCRIPTION,
            f"{at}.models",
            f"The bundle {model} cannot be read: layers/models/{model}/manifest.json, or its "
            "cascade.json.",
            "Name a folder of layers/models, or build it with `make bundles`.",
        )
        return
    served, task = FUNCTIONS.get(name), manifest.get("task")
    # What is no registered function, and reads indexes, needs their embedder.
    wanted = served.bundle_task if served else EMBEDS if SEARCH in function.layers else task
    if task != wanted:
        yield Finding(
            DESCRIPTION,
            f"{at}.models",
            f"{name} needs a bundle that does {wanted}, but {model} does {task}.",
            "Name a bundle of that task.",
        )
    for stage in manifest.get("stages", ()):
        bundle = stage["bundle"]
        if bundle not in function.models or _digest(project, bundle) != stage["digest"]:
            yield Finding(
                DESCRIPTION,
                f"{at}.models",
                f"The cascade {model} has the stage {bundle}, which {name} does not ship, or not "
                "of the digest that it was calibrated with.",
                f"Name {bundle} as well, or make the cascade again with `farthing forge cascade`.",
            )


def _check_index(project: Project, at: str, function: Function, index: str) -> Iterator[Finding]:
    manifest = _manifest(project, "indexes", index)
    if manifest is None:
        yield Finding(
            DESCRIPTION,
            f"{at}.indexes",
            f"The index {index} cannot be read: layers/indexes/{index}/manifest.json.",
            "Name a folder of layers/indexes, or build it with `farthing index build`.",
        )
        return
    embedder = manifest.get("embedder") or {}
    digests = {_digest(project, model) for model in function.models}
    if embedder.get("digest") not in digests:
        yield Finding(
            DESCRIPTION,
            f"{at}.indexes",
            f"The index {index} holds vectors of another embedder, {embedder.get('name')}, than "
            f"{', '.join(function.models) or 'none'}.",
            "Name that bundle, or build the index again.",
        )


def _digest(project: Project, model: str) -> str:
    try:
        raw = (project.root / "layers" / "models" / model / "manifest.json").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(raw).hexdigest()


def _manifest(project: Project, kind: str, name: str) -> dict[str, Any] | None:
    folder = project.root / "layers" / kind / name
    cascade = folder / "cascade.json"
    try:
        found = json.loads(
            (cascade if cascade.is_file() else folder / "manifest.json").read_bytes()
        )
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _layer_of(module: str) -> str:
    return module.split(".")[1]
