"""`farthing search`: ask an index, and judge its answers."""

from __future__ import annotations

import typer

from farthing.cli.search import judge, query

app = typer.Typer(
    help="Ask an index with `query`, and judge its answers with `eval`.",
    epilog="Start with: farthing search query DIR 'bosch washing machine' --explain",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command()(query.query)
app.command("eval")(judge.evaluate)
