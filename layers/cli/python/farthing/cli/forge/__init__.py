"""`farthing forge`: from labelled rows and a teacher to a small bundle with proof."""

from __future__ import annotations

import typer

from farthing.cli.forge import cascade, judge, make, ship

app = typer.Typer(
    help="Make small models of large ones: teach, distil, quantise, measure, choose, pack. "
    "Needs the extra forge.",
    epilog="Start with: farthing forge contest --train train.csv --test test.csv --text title "
    "--label category",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
for command in (
    make.teach,
    make.distil,
    make.quantise,
    judge.evaluate,
    judge.contest,
    cascade.cascade,
    ship.pack,
    ship.build,
    ship.inspect,
):
    app.command()(command)
