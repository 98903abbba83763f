"""Container images of a function: what is asked of the build, and how it is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.deployment.docker.dockerfile import DOCKERFILE, base_image
from farthing.deployment.pack.assemble import EPOCH_S
from farthing.deployment.pack.engine import PackError

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.deployment.pack.engine import Engine
    from farthing.deployment.project import Project

Arch = Literal["amd64", "arm64"]
ImageTarget = Literal["lambda-image", "http-image"]

OWN_BASE = "infra/docker/base/build.sh"


class Request(msgspec.Struct, frozen=True):
    """What to build; an image left empty is the Dockerfile's own default.

    `also` names layers beyond the function's own, such as `ledger`.
    """

    function: str
    target: ImageTarget
    arch: Arch = "amd64"
    base_image: str = ""
    build_image: str = ""
    tag: str = ""
    also: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        return self.target.removesuffix("-image")

    def name(self, project: Project) -> str:
        """`farthing-classify:0.1.0-lambda` for Lambda, `farthing-classify:0.1.0` for HTTP.

        With layers beyond the function's own, their names follow: `farthing-embed:0.1.0-ledger`.
        """
        suffix = "".join(f"-{it}" for it in ("lambda" * (self.stage == "lambda"), *self.also) if it)
        return self.tag or f"localhost/farthing-{self.function}:{project.version}{suffix}"


def build_image(project: Project, engine: Engine, request: Request) -> str:
    """Builds, and gives back the image's name. Raises `PackError` or `ProjectError`."""
    refuse_unfit(project, request)
    platform = f"linux/{request.arch}"
    given = {"BASE_IMAGE": request.base_image, "BUILD_IMAGE": request.build_image}
    for argument, image in given.items():
        wanted = image or base_image(project, request.stage, argument)
        if not engine.has_image(wanted) and not engine.pull(wanted, platform):
            option = "--" + argument.lower().replace("_", "-")
            raise PackError(
                f"The image {wanted} ({argument}) is not on this machine and cannot be pulled. "
                f"Pull it, name another with {option}, or make your own pair with {OWN_BASE}."
            )
    name = request.name(project)
    build_args = {
        "FUNCTION": request.function,
        "ALSO": " ".join(request.also),
        "VERSION": project.version,
        "REVISION": _git(project.root, "rev-parse", "HEAD"),
        "SOURCE": _source(project.root),
        **given,
    }
    stated = {key: value for key, value in build_args.items() if value}
    engine.build(
        project.root, project.root / DOCKERFILE, request.stage, name, platform, stated, EPOCH_S
    )
    return name


def refuse_unfit(project: Project, request: Request) -> None:
    """Raises `PackError` where the function has no such target or its cloud no such processor."""
    function = project.function(request.function)
    if request.target not in function.targets:
        raise PackError(
            f"{request.function} has no target {request.target}; pyproject.toml gives it "
            f"{', '.join(function.targets)}. Choose one of those, or add it there."
        )
    for layer in request.also:
        if not (project.root / "layers" / layer / "python").is_dir():
            raise PackError(
                f"There is no layer {layer!r}. Name a folder of layers/, such as ledger."
            )
    if request.arch == "arm64" and request.stage == "http" and "alibaba" in function.clouds:
        raise PackError(
            f"{request.function} also runs on Function Compute, which takes amd64 images only. "
            "Pack it with --arch amd64, or take alibaba from its clouds in pyproject.toml."
        )


def _git(root: Path, *arguments: str) -> str:
    """What git says of the checkout, or nothing where there is none."""
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(  # noqa: S603 - git, by its name
            command, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _source(root: Path) -> str:
    """The repository's public address; a path of this machine says nothing to others."""
    url = _git(root, "remote", "get-url", "origin")
    return url if url.startswith("https://") and "@" not in url else ""
