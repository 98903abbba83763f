"""The container engine of this machine, called as a developer would call it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.errors import FarthingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EngineName = Literal["buildah", "podman", "docker"]
# In this order: buildah needs no service and no privileges beyond its user's.
BUILDERS: tuple[EngineName, ...] = ("buildah", "podman", "docker")
RUNNERS: tuple[EngineName, ...] = ("podman", "docker")
LAST_LINES = 8


class PackError(FarthingError):
    """The function cannot be packed as asked."""


class Engine(msgspec.Struct, frozen=True):
    """Where images are kept and how containers run is the engine's own configuration."""

    name: EngineName

    def call(self, *arguments: str, timeout_s: float | None = None) -> str:
        """What the engine wrote to stdout. Raises `PackError` with its last words."""
        try:
            done = subprocess.run(  # noqa: S603 - a program's name and words, no shell
                [self.name, *arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                env=self._environ(),
            )
        except subprocess.TimeoutExpired:
            asked = " ".join(arguments[:2])
            raise PackError(
                f"`{self.name} {asked}` did not end within {timeout_s:g} s. Try again, or stop it."
            ) from None
        if done.returncode:
            raise PackError(f"`{self.name} {arguments[0]}` failed:\n{last_words(done)}")
        return done.stdout

    def has_image(self, image: str) -> bool:
        """Whether the image is in this machine's store."""
        kind = ("--type", "image") if self.name == "buildah" else ("--type=image",)
        return self._succeeds("inspect", *kind, image)

    def pull(self, image: str, platform: str) -> bool:
        return self._succeeds("pull", "--platform", platform, image)

    def build(
        self,
        context: Path,
        dockerfile: Path,
        target: str,
        tag: str,
        platform: str,
        build_args: Mapping[str, str],
        epoch_s: int,
    ) -> None:
        """Raises `PackError` with the last lines of what the build said."""
        arguments = ["build", "--file", str(dockerfile), "--target", target, "--tag", tag]
        if self.name == "docker":
            arguments += ["--platform", platform, "--build-arg", f"SOURCE_DATE_EPOCH={epoch_s}"]
        else:
            # A layer for each instruction, and one date for all of them.
            arguments += ["--layers", "--timestamp", str(epoch_s), "--platform", platform]
            arguments += ["--build-arg", f"TARGETARCH={platform.partition('/')[2]}"]
        for name, value in build_args.items():
            arguments += ["--build-arg", f"{name}={value}"]
        self.call(*arguments, str(context))

    def export(self, image: str, archive: Path) -> None:
        """Writes the image as a tar archive: an OCI layout, or what `docker save` makes."""
        if self.name == "docker":
            self.call("save", "--output", str(archive), image)
        elif self.name == "podman":
            self.call("save", "--format", "oci-archive", "--output", str(archive), image)
        else:
            self.call("push", "--quiet", "--format", "oci", image, f"oci-archive:{archive}")

    def run(
        self, image: str, command: Sequence[str], limits: Sequence[str], timeout_s: float
    ) -> str:
        """What a container wrote to stdout; the first word of `command` is its entry point."""
        entry, *rest = command
        arguments = ("run", "--rm", *limits, "--entrypoint", entry, image, *rest)
        return self.call(*arguments, timeout_s=timeout_s)

    def _succeeds(self, *arguments: str) -> bool:
        done = subprocess.run(  # noqa: S603 - as above
            [self.name, *arguments], capture_output=True, check=False, env=self._environ()
        )
        return done.returncode == 0

    def _environ(self) -> dict[str, str]:
        # Without a service of its own buildah also works inside a container, but only so isolated.
        return {"BUILDAH_ISOLATION": "chroot", **os.environ}


def find_engine(asked: str | None = None, of: Sequence[EngineName] = BUILDERS) -> Engine:
    """The engine that is asked for, else the first there is. Raises `PackError`."""
    names = [name for name in of if asked in {None, name}]
    for name in names:
        if shutil.which(name):
            return Engine(name)
    wanted = f"{asked} is not installed" if asked else "no container engine is installed"
    raise PackError(
        f"An image needs {', '.join(of[:-1])} or {of[-1]}, and {wanted}. "
        "Install one of them, or pack --target lambda-zip, which needs none."
    )


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what a command said, where the reason stands."""
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("farthing: ")]
    return "\n".join(ours or lines[-LAST_LINES:])
