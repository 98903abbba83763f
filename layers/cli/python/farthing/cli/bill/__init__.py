"""`farthing bill`: what was used, what it cost, and whether the ledger is sound."""

from __future__ import annotations

import typer

from farthing.cli.bill import receipts, settlement, statements

app = typer.Typer(
    help="Statements, receipts and settlement: what was used, what it cost, and the proof.",
    epilog="Start with: farthing bill usage --tenant local, after a call to `farthing serve`",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
for command in (
    statements.usage,
    statements.invoice,
    receipts.seal,
    receipts.receipt,
    receipts.verify,
    settlement.settle,
    settlement.reconcile,
):
    app.command()(command)
