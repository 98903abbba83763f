"""The project as the deployment files should know it: its functions, layers and models."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from farthing.errors import StartupError

Target = Literal["lambda-image", "http-image", "lambda-zip"]
Cloud = Literal["aws", "alibaba", "knative"]


class ProjectError(StartupError):
    """The folder is no Farthing project, or its pyproject.toml does not describe one."""


class Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one function is made of and how large it runs, from `[tool.farthing.functions]`.

    `vcpu_milli` is what Function Compute and Knative give it; Lambda's share follows from memory.
    `indexes` are those that ship in its image; `answers` is false for one that has a model, and is
    called by a clock or an event instead of by callers.
    """

    layers: tuple[str, ...]
    models: tuple[str, ...]
    targets: tuple[Target, ...]
    clouds: tuple[Cloud, ...]
    memory_mb: Annotated[int, msgspec.Meta(ge=128, le=10_240)]
    vcpu_milli: Annotated[int, msgspec.Meta(ge=0, le=16_000)]
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=200)]
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=900)]
    indexes: tuple[str, ...] = ()
    answers: bool = True

    @property
    def serves(self) -> bool:
        """Whether callers reach it, so that it is what is scaled, opened, watched and stopped."""
        return bool(self.models) and self.answers


class Project(msgspec.Struct, frozen=True):
    """A checkout: `root` holds pyproject.toml, functions/ and layers/."""

    root: Path
    version: str
    licence: str
    requires_python: str
    extras: dict[str, tuple[str, ...]]
    functions: dict[str, Function]

    @classmethod
    def read(cls, root: Path) -> Project:
        """Raises `ProjectError` naming the file, the key and what it may be."""
        file = root / "pyproject.toml"
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError:
            raise ProjectError(
                f"{root} has no pyproject.toml, so it is no Farthing project. "
                "Run this in a checkout, or name one with --project."
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise ProjectError(f"{file} is not TOML: {error}. Correct it.") from None
        tables = data.get("tool", {}).get("farthing", {}).get("functions", {})
        if not tables:
            raise ProjectError(
                f"{file} describes no function. Add a table [tool.farthing.functions.NAME]."
            )
        described = data.get("project", {})
        return cls(
            root=root.resolve(),
            version=str(described.get("version", "0")),
            licence=str(described.get("license", "")),
            requires_python=str(described.get("requires-python", "")),
            extras={
                name: tuple(needs)
                for name, needs in described.get("optional-dependencies", {}).items()
            },
            functions={name: _function(file, name, table) for name, table in tables.items()},
        )

    @property
    def ledger_tag(self) -> str:
        """The tag of an image that was built with the layer ledger beside the function's own."""
        return f"{self.version}-ledger"

    def function(self, name: str) -> Function:
        """Raises `ProjectError` naming the functions there are."""
        try:
            return self.functions[name]
        except KeyError:
            known = ", ".join(sorted(self.functions))
            raise ProjectError(
                f"There is no function {name!r}; this project has {known}. Choose one of those."
            ) from None

    def on(self, cloud: Cloud) -> dict[str, Function]:
        """The functions that this cloud runs."""
        return {name: it for name, it in self.functions.items() if cloud in it.clouds}


def _function(file: Path, name: str, table: dict[str, Any]) -> Function:
    try:
        return msgspec.convert(table, Function)
    except msgspec.ValidationError as error:
        raise ProjectError(
            f"{file}: tool.farthing.functions.{name} is not usable: {error}. Correct it."
        ) from None
