"""`farthing`: one command group per file; each command imports what it needs when it runs."""

from __future__ import annotations

import sys

try:
    import typer
except ModuleNotFoundError:  # pragma: no cover - needs an installation without the extra
    sys.exit("The farthing command needs its extra. Install it with: pip install 'farthing[cli]'")

from farthing.cli import (
    batch,
    bill,
    cache,
    check,
    forge,
    index,
    invoke,
    keys,
    models,
    pack,
    quote,
    search,
    serve,
    tune,
    warm,
)
from farthing.errors import FarthingError

app = typer.Typer(
    name="farthing",
    help="INT8 inference whose every answer carries its price.",
    epilog="Start with: farthing serve, then farthing invoke classify 'usb c charger 65w'",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(serve.serve)
app.command()(invoke.invoke)
app.command()(models.models)
app.command()(quote.quote)
app.command()(tune.tune)
app.command()(pack.pack)
app.add_typer(batch.app, name="batch")
app.add_typer(bill.app, name="bill")
app.add_typer(cache.app, name="cache")
app.add_typer(check.app, name="check")
app.add_typer(forge.app, name="forge")
app.add_typer(index.app, name="index")
app.add_typer(keys.app, name="keys")
app.add_typer(search.app, name="search")
app.add_typer(warm.app, name="warm")


def main() -> None:
    """Exit codes: 0 done, 1 refused or failed with one sentence on stderr, 2 wrong usage."""
    try:
        # However Python was started: usage is told as it is typed.
        app(prog_name="farthing")
    except FarthingError as error:
        sys.exit(f"farthing: {error}")
    except BrokenPipeError:
        sys.exit(1)
