"""The tree against its own description: functions, layers, bundles, wheels and imports."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, get_args

from farthing.deployment.contents import DESCRIPTION, check_contents
from farthing.deployment.findings import Finding
from farthing.deployment.project import Cloud
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.deployment.project import Function, Project

LOCK = "requirements.lock"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
NEED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?")
# What a layer imports where a function does not go: core's documentation pages and servers, the
# ledger's readers of providers' exports and its plots, search's adapters of others' stores, batch's
# other engine and other cloud.
ALSO = {
    "core": ("server",),
    "ledger": ("reports",),
    "search": ("chroma", "milvus", "pinecone"),
    "batch": ("batch-gcs", "ray"),
}
# Layers whose wheels are more than the 250 MB that Lambda unpacks, beside what computes.
TOO_LARGE_FOR_ZIPS = {"batch"}
# Modules of distributions that need not be installed here, where these have another name.
DISTRIBUTIONS = {"grpc": ["grpcio"]}
# The cloud's own runtime brings these: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
OF_THE_RUNTIME = {"boto3", "botocore"}


def check(project: Project) -> Iterator[Finding]:
    """What pyproject.toml says of the functions and is not so in the tree, and the reverse."""
    yield from _check_entries(project)
    for name, function in project.functions.items():
        yield from _check_function(project, name, function)
    layers = sorted({layer for it in project.functions.values() for layer in it.layers})
    for layer in layers:
        if layer in project.extras and _source(project, layer).is_dir():
            yield from _check_imports(project, layer)
            yield from _check_wheels(project, layer)


def _check_entries(project: Project) -> Iterator[Finding]:
    entries = {path.parent.name for path in project.root.glob("functions/*/app.py")}
    for name in sorted(entries - project.functions.keys()):
        yield Finding(
            DESCRIPTION,
            f"tool.farthing.functions.{name}",
            f"functions/{name}/app.py exists, but no table describes it.",
            "Describe it, or remove the folder.",
        )
    for name in sorted(project.functions.keys() - entries):
        yield Finding(
            DESCRIPTION,
            f"tool.farthing.functions.{name}",
            f"The function is described, but functions/{name}/app.py is missing.",
            "Write it, or remove the table.",
        )


def _check_function(project: Project, name: str, function: Function) -> Iterator[Finding]:
    at = f"tool.farthing.functions.{name}"
    served = FUNCTIONS.get(name)
    if served is not None:
        for cloud in get_args(Cloud):
            if cloud not in function.clouds:
                yield Finding(
                    DESCRIPTION,
                    f"{at}.clouds",
                    f"{name} answers callers, but is not deployed on {cloud}.",
                    f'Add "{cloud}": every function that answers runs on every cloud.',
                )
        needed = served.loader_module.split(".")[1]
        if needed not in function.layers:
            yield Finding(
                DESCRIPTION,
                f"{at}.layers",
                f"{name} is answered by {served.loader_module}, which is in the layer {needed}; "
                f"the function has {', '.join(function.layers)}.",
                f'Add "{needed}".',
            )
        if not function.serves:
            yield Finding(
                DESCRIPTION,
                f"{at}.models",
                f"{name} answers callers, and has no model to answer with.",
                "Name one, and do not set answers to false.",
            )
    yield from _check_targets(at, function)
    for layer in function.layers:
        if not (project.root / "layers" / layer / "python").is_dir():
            yield Finding(
                DESCRIPTION,
                f"{at}.layers",
                f"There is no layer {layer}: layers/{layer}/python is missing.",
                "Name a folder of layers/.",
            )
    if function.layers[:1] != ("core",):
        yield Finding(
            DESCRIPTION, f"{at}.layers", "The first layer is not core.", 'Begin with "core".'
        )
    yield from check_contents(project, name, function)


def _check_targets(at: str, function: Function) -> Iterator[Finding]:
    if (function.clouds == ("aws",) or not function.serves) and function.concurrency != 1:
        yield Finding(
            DESCRIPTION,
            f"{at}.concurrency",
            f"It is {function.concurrency}, but Lambda gives an environment one call at a time, "
            "and a function that answers nobody works alone.",
            "Write 1.",
        )
    wanted = {
        "http-image": bool({"alibaba", "knative"} & set(function.clouds)),
        "lambda-zip": "aws" in function.clouds and not TOO_LARGE_FOR_ZIPS & set(function.layers),
    }
    for target, needed in wanted.items():
        if needed != (target in function.targets):
            yield Finding(
                DESCRIPTION,
                f"{at}.targets",
                f"Its clouds are {', '.join(function.clouds) or 'none'}, its layers "
                f"{', '.join(function.layers)}, and {target} is "
                + ("missing from" if needed else "among")
                + " its targets.",
                "Add it." if needed else "Remove it: no cloud of its uses it, or it is too large.",
            )
    if not function.models and "lambda-image" in function.targets:
        yield Finding(
            DESCRIPTION,
            f"{at}.targets",
            "It has no model, and is still packed as an image.",
            "A light function is a zip with layers: remove lambda-image.",
        )
    if function.models and "aws" in function.clouds and "lambda-image" not in function.targets:
        yield Finding(
            DESCRIPTION,
            f"{at}.targets",
            "It has a model, and no lambda-image among its targets.",
            "Add lambda-image: the template deploys models as images.",
        )


def _check_imports(project: Project, layer: str) -> Iterator[Finding]:
    """Every foreign import of a layer must be in its extra, or in one it builds on."""
    allowed = _distributions(project, layer)
    for extra in ALSO.get(layer, ()):
        allowed |= _distributions(project, extra)
    owners = {**DISTRIBUTIONS, **packages_distributions()}
    for module in sorted(_source(project, layer).rglob("*.py")):
        for name in sorted(_foreign_imports(module)):
            candidates = {_canonical(owner) for owner in owners.get(name, [name])}
            if not candidates & (allowed | OF_THE_RUNTIME):
                yield Finding(
                    module.relative_to(project.root).as_posix(),
                    f"import {name}",
                    f"The extra {layer} in pyproject.toml does not bring {name}.",
                    "Add its distribution to that extra, or move the module to another layer.",
                )


def _check_wheels(project: Project, layer: str) -> Iterator[Finding]:
    """A layer's pinned wheels must be the lock's, and cover what its extra asks for."""
    file = f"layers/{layer}/python/requirements.txt"
    try:
        pins = dict(PIN.findall((project.root / file).read_text(encoding="utf-8")))
        lock = set(PIN.findall((project.root / LOCK).read_text(encoding="utf-8")))
    except OSError:
        yield Finding(file, "", f"This file or {LOCK} is missing.", "Run `make lock`.")
        return
    for name, version in pins.items():
        if (name, version) not in lock:
            yield Finding(
                file, name, f"{version} is pinned, but {LOCK} has another.", "Run `make lock`."
            )
    for need in project.extras[layer]:
        match = NEED.match(need)
        wanted = _canonical(match[1]) if match else ""
        if wanted != "farthing" and wanted not in {_canonical(name) for name in pins}:
            yield Finding(
                file,
                wanted,
                f"The extra {layer} asks for it; it is not pinned.",
                "Run `make lock`.",
            )


def _distributions(project: Project, extra: str) -> set[str]:
    """The distributions that an extra brings, those of the extras it builds on included."""
    found: set[str] = set()
    for need in project.extras.get(extra, ()):
        match = NEED.match(need)
        if match is None:
            continue
        if _canonical(match[1]) == "farthing":
            for deeper in (match[2] or "").split(","):
                found |= _distributions(project, deeper.strip())
        else:
            found.add(_canonical(match[1]))
    return found


def _foreign_imports(module: Path) -> set[str]:
    """Top-level names that a module imports at run time, ours and the standard library's aside."""
    found: set[str] = set()
    for node in ast.walk(_without_typing_blocks(ast.parse(module.read_bytes()))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"farthing"}


def _without_typing_blocks(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def _source(project: Project, layer: str) -> Path:
    return project.root / "layers" / layer / "python" / "farthing"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
