"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

import importlib.util
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.settings import Settings


class PricedAs(StrEnum):
    LAMBDA = "lambda"
    FC = "fc"
    KNATIVE = "knative"


Platform = Annotated[
    PricedAs, typer.Option(help="Price the calls as if they ran on this platform.")
]
Models = Annotated[
    Path | None,
    typer.Option(help=r"Folder of bundles. \[default: those shipped]", show_default=False),
]
Model = Annotated[
    list[str] | None,
    typer.Option(help=r"Bundle to use, repeatable. \[default: all]", show_default=False),
]
MemoryMb = Annotated[
    int | None,
    typer.Option(
        min=128,
        show_default=False,
        help=r"Memory of the simulated instance, in MB. \[default: FARTHING_MEMORY_MB, else 1024]",
    ),
]
VcpuMilli = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default=False,
        help="CPU of the simulated instance, in thousandths of a vCPU. "
        r"\[default: Lambda's share of the memory, else 1000]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]


def require_extra(extra: str, modules: tuple[str, ...]) -> None:
    """Raises `SettingsError` saying what to install, before an import fails half-way."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"This command needs {', '.join(missing)}, which this environment does not have. "
            f"Install the extra with: pip install 'farthing[{extra}]'"
        )


def local_settings(**overrides: object) -> Settings:
    """Settings of a process on this machine, whatever platform its environment speaks of."""
    from farthing.settings import read_settings

    return read_settings({**os.environ, "FARTHING_PLATFORM": "local"}, **overrides)
