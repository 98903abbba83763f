"""Packages: what `sam build` makes of each function, from an image or from a zip and layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.stack import TEMPLATE
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.deployment.aws.stack import Resource
    from farthing.deployment.project import Function, Project

STAGE = "lambda"
# onnxruntime and numpy need the C library that Lambda has from Python 3.12 on.
RUNTIMES = ("python3.12", "python3.13", "python3.14")


def check_package(
    project: Project, name: str, function: Function, resource: Resource
) -> Iterator[Finding]:
    image = resource.get("PackageType") == "Image"
    target = "lambda-image" if image else "lambda-zip"
    at = f"Resources.{resource.id}"
    if target not in function.targets:
        yield Finding(
            TEMPLATE,
            f"{at}.Properties.PackageType",
            f"It is a {target}, which is not among the targets of {name} in pyproject.toml.",
            f"Choose one of {', '.join(function.targets)}, or add {target} there.",
        )
    yield from (_image if image else _zip)(project, name, resource)


def _image(project: Project, name: str, resource: Resource) -> Iterator[Finding]:
    metadata, at = resource.metadata, f"Resources.{resource.id}.Metadata"
    context = project.root / str(metadata.get("DockerContext", ""))
    dockerfile = context / str(metadata.get("Dockerfile", ""))
    if context.resolve() != project.root or "DockerContext" not in metadata:
        yield _wrong(f"{at}.DockerContext", metadata.get("DockerContext"), ".", "the Dockerfile")
    stages, arguments = _read_dockerfile(dockerfile)
    if not stages:
        yield Finding(
            TEMPLATE,
            f"{at}.Dockerfile",
            f"There is no Dockerfile at {metadata.get('Dockerfile')}.",
            "Name infra/docker/Dockerfile.",
        )
        return
    wanted = {
        "DockerBuildTarget": (STAGE, "Lambda's stage"),
        "DockerTag": (f"{project.version}-lambda", "the version in pyproject.toml"),
    }
    for key, (value, whose) in wanted.items():
        if metadata.get(key) != value:
            yield _wrong(f"{at}.{key}", metadata.get(key), value, whose)
    given = metadata.get("DockerBuildArgs") or {}
    if given.get("FUNCTION") != name:
        yield _wrong(f"{at}.DockerBuildArgs.FUNCTION", given.get("FUNCTION"), name, "the function")
    if given.get("RUN_AS") != "root":
        whose = "what `sam local` needs to add its emulator (Lambda itself runs no image as root)"
        yield _wrong(f"{at}.DockerBuildArgs.RUN_AS", given.get("RUN_AS"), "root", whose)
    for argument in given:
        if argument not in arguments:
            yield Finding(
                TEMPLATE,
                f"{at}.DockerBuildArgs.{argument}",
                "The Dockerfile has no such ARG, so it would change nothing.",
                f"Choose one of {', '.join(sorted(arguments))}.",
            )


def _zip(project: Project, name: str, resource: Resource) -> Iterator[Finding]:
    at = f"Resources.{resource.id}"
    wanted = {
        "CodeUri": (f"functions/{name}", "where its code is"),
        "Handler": (f"functions.{name}.app.handler", "its entry point"),
    }
    for key, (value, whose) in wanted.items():
        if str(resource.get(key)).rstrip("/") != value:
            yield _wrong(f"{at}.Properties.{key}", resource.get(key), value, whose)
    mode = (resource.metadata.get("BuildProperties") or {}).get("ParentPackageMode")
    if mode != "auto":
        yield Finding(
            TEMPLATE,
            f"{at}.Metadata.BuildProperties.ParentPackageMode",
            f"It is {mode}, so the zip would lose the dotted path functions.{name}.",
            "Make it auto.",
        )
    if resource.get("Runtime") not in RUNTIMES:
        yield _wrong(f"{at}.Properties.Runtime", resource.get("Runtime"), RUNTIMES[0], "a Python")


def check_layers(project: Project, template: dict[str, Any]) -> Iterator[Finding]:
    """Zips attach the layers that pyproject.toml gives their functions, built for their Python."""
    resources = template["Resources"]
    layers = {
        name: it for name, it in resources.items() if it["Type"] == "AWS::Serverless::LayerVersion"
    }
    for name, layer in layers.items():
        properties, at = layer.get("Properties") or {}, f"Resources.{name}"
        source = str(properties.get("ContentUri"))
        if not re.fullmatch(r"layers/\w+/python", source) or not (project.root / source).is_dir():
            yield _wrong(f"{at}.Properties.ContentUri", source, "layers/NAME/python", "a layer")
        method = (layer.get("Metadata") or {}).get("BuildMethod")
        runtimes = properties.get("CompatibleRuntimes") or []
        if method not in RUNTIMES or method not in runtimes:
            yield Finding(
                TEMPLATE,
                f"{at}.Metadata.BuildMethod",
                f"It is {method}, and CompatibleRuntimes are {', '.join(map(str, runtimes))}.",
                f"Build it with a Python of both; {RUNTIMES[0]} is the first that will do.",
            )
    for function, described in project.on("aws").items():
        for name, it in resources.items():
            properties = it.get("Properties") or {}
            if properties.get("Handler") != f"functions.{function}.app.handler":
                continue
            attached = {
                str(layers[ref]["Properties"].get("ContentUri")).split("/")[1]
                for entry in properties.get("Layers") or []
                if isinstance(entry, dict)
                and (ref := entry.get("Ref")) in layers
                and "/" in str((layers[ref].get("Properties") or {}).get("ContentUri"))
            }
            if absent := set(described.layers) - attached:
                yield Finding(
                    TEMPLATE,
                    f"Resources.{name}.Properties.Layers",
                    f"pyproject.toml gives {function} the layers {', '.join(described.layers)}; "
                    f"{', '.join(sorted(absent))} is not attached.",
                    "Attach it.",
                )


def _read_dockerfile(file: Path) -> tuple[set[str], set[str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return set(), set()
    return (
        set(re.findall(r"^FROM\s.*\sAS\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)),
        set(re.findall(r"^ARG\s+(\w+)", text, re.MULTILINE)),
    )


def _wrong(at: str, found: object, wanted: str, whose: str) -> Finding:
    return Finding(TEMPLATE, at, f"It is {found}, but {whose} is {wanted}.", f"Make it {wanted}.")
