"""All that the Dockerfile and `.dockerignore` have to promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.deployment.docker.builders import (
    ASSEMBLE_SOURCE,
    check_builders,
    image_functions,
)
from farthing.deployment.docker.dockerfile import DOCKERFILE, Dockerfile, read_dockerfile
from farthing.deployment.docker.ignore import check_ignore
from farthing.deployment.docker.images import check_images
from farthing.deployment.docker.shipped import check_shipped
from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.project import Project


def check(project: Project) -> Iterator[Finding]:
    """Findings in the images' sources; nothing where no function is packed as an image."""
    if not image_functions(project, "lambda") and not image_functions(project, "http"):
        return
    try:
        file = read_dockerfile(project)
    except Unreadable as unreadable:
        yield unreadable.finding
        return
    yield from check_images(file)
    yield from check_builders(project, file)
    yield from check_shipped(project, file)
    yield from _check_variables(file)
    yield from _check_sources(project, file)
    yield from check_ignore(project, _needed(project))


def _check_sources(project: Project, file: Dockerfile) -> Iterator[Finding]:
    """What a COPY names has to be in the tree, or in an earlier stage."""
    earlier: set[str] = set()
    for stage in file.stages:
        for copy in stage.all("COPY"):
            if copy.source_stage:
                if copy.source_stage not in earlier:
                    says = f"There is no earlier stage {copy.source_stage}."
                    yield Finding(DOCKERFILE, copy.at, says, "Correct --from.")
                continue
            for source in copy.paths[:-1]:
                if not (project.root / source).exists():
                    says = f"It copies {source}, which is not in the project."
                    yield Finding(DOCKERFILE, copy.at, says, "Correct the path.")
        for add in stage.all("ADD"):
            says = "ADD unpacks archives and reads addresses."
            yield Finding(DOCKERFILE, add.at, says, "Use COPY.")
        earlier.add(stage.name)


def _needed(project: Project) -> Iterator[str]:
    """A file of each part that an image is made of."""
    yield from ("pyproject.toml", ASSEMBLE_SOURCE, "infra/docker/sbom.py")
    yield "infra/docker/requirements-sbom.txt"
    for target in ("lambda", "http"):
        for name in image_functions(project, target):
            function = project.functions[name]
            yield f"functions/{name}/app.py"
            yield f"infra/docker/requirements-{target}.txt"
            yield from (f"layers/{layer}/python/requirements.txt" for layer in function.layers)
            yield from (f"layers/{layer}/python/farthing/a.py" for layer in function.layers)
            yield from (f"layers/models/{model}/manifest.json" for model in function.models)
            yield from (f"layers/indexes/{index}/manifest.json" for index in function.indexes)


def _check_variables(file: Dockerfile) -> Iterator[Finding]:
    """Each variable declared in the stage that uses it; FUNCTION never with a default."""
    for stage in file.stages:
        declared: set[str] = set()
        for instruction in stage.instructions:
            if instruction.keyword in {"ARG", "ENV"}:
                declared |= instruction.pairs.keys()
            if instruction.keyword == "ARG" and instruction.pairs.get("FUNCTION"):
                says = "FUNCTION has a default."
                yield Finding(DOCKERFILE, instruction.at, says, "Leave it to whoever builds.")
            for name in sorted(instruction.variables - declared):
                yield Finding(
                    DOCKERFILE,
                    instruction.at,
                    f"It uses {name}, which is not declared in stage {stage.name}.",
                    f"Add ARG {name} before it.",
                )
