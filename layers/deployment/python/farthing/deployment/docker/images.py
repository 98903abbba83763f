"""What the stages are built on: images that can be replaced, and of one Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.docker.dockerfile import DOCKERFILE, Dockerfile, image_default
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_images(file: Dockerfile) -> Iterator[Finding]:
    """FROM lines: known names, stated versions, one Python for what builds and what runs."""
    pythons: dict[str, str] = {}
    earlier: set[str] = set()
    for stage in file.stages:
        argument, image = image_default(stage.base)
        if stage.name in earlier:
            yield Finding(DOCKERFILE, stage.at, "Two stages have this name.", "Rename one.")
        if argument and argument not in file.arguments:
            yield Finding(
                DOCKERFILE,
                stage.at,
                f"FROM uses {argument}, which no ARG before the first FROM declares.",
                f"Add ARG {argument} at the top.",
            )
        wanted = "BUILD_IMAGE" if stage.name == "build" else "BASE_IMAGE"
        if not argument and image not in earlier:
            yield Finding(
                DOCKERFILE,
                stage.at,
                f"It is built on {image}, which is no earlier stage and cannot be replaced.",
                f"Write ${{{wanted}:-{image}}}, or name a stage.",
            )
        elif argument and argument != wanted:
            yield Finding(
                DOCKERFILE,
                stage.at,
                f"{stage.name or 'It'} is built on {argument}, not on {wanted}.",
                f"Use {wanted}.",
            )
        if argument:
            version = re.search(r":(?:[a-z]*)(\d+\.\d+)", image)
            pythons[stage.name] = version[1] if version else ""
            if version is None:
                yield Finding(
                    DOCKERFILE,
                    stage.at,
                    f"{image} has no minor version, so a new Python would come unasked.",
                    "Name it with a tag such as :3.13.",
                )
        earlier.add(stage.name)
    if len(set(pythons.values()) - {""}) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in pythons.items())
        yield Finding(
            DOCKERFILE,
            "",
            f"The default images have different Pythons ({listed}); wheels fit only one.",
            "Give all the same minor version.",
        )
    if any(value for value in file.arguments.values()):
        yield Finding(
            DOCKERFILE,
            "",
            "An ARG before the first FROM has a default, which every target would take.",
            "Put defaults into the FROM lines.",
        )
