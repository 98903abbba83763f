"""The ledger that a command of `farthing bill` reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from farthing.cli.options import open_ledger
from farthing.errors import LedgerMissing

if TYPE_CHECKING:
    from farthing.billing.ledger import Store

NO_LEDGER = 2


def ledger_at(url: str | None, *, must_exist: bool = True) -> Store:
    """The ledger. Exits with 2, and a sentence, where there is none."""
    try:
        return open_ledger(url, must_exist=must_exist)
    except LedgerMissing as error:
        sys.stderr.write(f"farthing: {error}\n")
        raise typer.Exit(NO_LEDGER) from None
