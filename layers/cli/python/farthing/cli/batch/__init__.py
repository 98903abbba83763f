"""`farthing batch`: score files, row by row and once each."""

from __future__ import annotations

import typer

from farthing.cli.batch import cost, redrive, resume, run, status
from farthing.cli.options import require_extra

NEEDED = ("boto3", "fsspec", "onnxruntime", "pyarrow", "s3fs")

app = typer.Typer(
    help="Score every row of files once: run, look, go on, and what it costs.",
    epilog="Start with: farthing batch run titles.csv --task classify --id id --text title "
    "--out scored",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command()(run.run)
app.command()(status.status)
app.command()(resume.resume)
app.command()(cost.cost)
app.command()(redrive.redrive)


@app.callback()
def with_its_extra() -> None:
    """Refuses where the layer's libraries are not there."""
    require_extra("batch", NEEDED)
