"""`farthing keys`: tenants, what they may spend, and the keys they call with."""

from __future__ import annotations

import typer

from farthing.cli.keys import make, show

app = typer.Typer(
    help="Make, list and revoke keys; set what a tenant may spend.",
    epilog="Start with: farthing keys create --tenant shop --budget-usd 5 --period month",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command()(make.init)
app.command()(make.create)
app.command("list")(show.show)
app.command()(make.budget)
app.command()(make.revoke)
