"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

import importlib.util
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.errors import LedgerMissing, SettingsError

if TYPE_CHECKING:
    from farthing.billing.ledger import Store
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
Index = Annotated[
    list[str] | None,
    typer.Option(
        help=r"Index to search, by name, folder or address; repeatable. \[default: those shipped]",
        show_default=False,
    ),
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
Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        show_default=False,
        help="Address of the ledger: sqlite:///FILE, postgresql://…, dynamodb://TABLE. "
        r"\[default: FARTHING_LEDGER, else a SQLite file of yours]",
    ),
]
SQLITE = "sqlite:///"
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


def open_ledger(url: str | None, *, must_exist: bool = True) -> Store:
    """The store at the address, else at FARTHING_LEDGER, else the user's own SQLite file.

    Raises `LedgerMissing` where a file was to exist and does not.
    """
    from farthing.billing.stores import open_store

    address = ledger_address(url)
    if must_exist and address.startswith(SQLITE):
        file = _file_of(address)
        if not file.is_file():
            raise LedgerMissing(
                f"There is no ledger at {file}. `farthing serve` and `farthing keys create` make "
                "one; name another with --ledger."
            )
    return open_store(address)


def ledger_address(url: str | None) -> str:
    """The address meant; the folder of a SQLite file is made where it is missing.

    Raises `SettingsError` where it cannot be.
    """
    address = url or os.environ.get("FARTHING_LEDGER") or f"{SQLITE}{default_ledger_file()}"
    if address.startswith(SQLITE):
        folder = _file_of(address).parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"The ledger's folder {folder} cannot be made ({error.strerror}). Name another "
                "place with --ledger sqlite:///FILE, or keep nothing with --ledger memory:."
            ) from None
    return address


def _file_of(address: str) -> Path:
    return Path(address.removeprefix(SQLITE).partition("?")[0])


def default_ledger_file() -> Path:
    """Where a ledger lies that nobody named, by the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "farthing" / "ledger.db"
