"""`farthing index`: from a file of documents to an index that answers searches, and its upkeep."""

from __future__ import annotations

import typer

from farthing.cli.index import build, change, copy, export, restore, show, tier

app = typer.Typer(
    help="Build indexes of documents, change, check, copy and keep them. Needs the extra indexing.",
    epilog="Start with: farthing index build products.csv --id sku --text title --out shop, then "
    "farthing search query shop 'red shoes'",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
for command in (
    build.build,
    change.add,
    change.delete,
    change.compact,
    show.info,
    show.verify,
    copy.copy,
    export.export,
    tier.tier,
    restore.archive,
    restore.restore,
):
    app.command()(command)
