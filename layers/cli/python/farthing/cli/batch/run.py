"""`farthing batch run`: every row of some files, scored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.batch.going import (
    HOW,
    EngineName,
    Out,
    RejectedMax,
    Spot,
    Way,
    Workers,
    go_on,
    place_of,
    settings_of,
)
from farthing.cli.options import AsJson, Ledger, MemoryMb, Models, Platform, PricedAs, VcpuMilli

if TYPE_CHECKING:
    from farthing.batch.jobs import Opened
    from farthing.cli.batch.progress import Progress

PRICE = "What it costs"


def run(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files of rows: .csv, .tsv, .jsonl, .parquet, text also as .gz or .zst; paths, "
            "globs, s3://…, oss://…, gs://….",
        ),
    ],
    task: Annotated[str, typer.Option(metavar="TASK", help="What to do: classify or embed.")],
    text: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the texts.")],
    out: Out,
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help=r"Column that tells rows apart. \[default: the row's number in its file]",
            show_default=False,
        ),
    ] = None,
    out_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="What to write: jsonl or parquet.")
    ] = "jsonl",
    model: Annotated[
        str | None,
        typer.Option(help=r"Bundle to use. \[default: the first of the task]", show_default=False),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels a row gets, best first.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another job's output in --out.")
    ] = False,
    engine: EngineName = "local",
    workers: Workers = None,
    shard_rows: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=HOW,
            help="Rows that are done, kept and billed together; what a crash costs at most.",
        ),
    ] = 20_000,
    spot: Spot = False,
    rejected_max: RejectedMax = None,
    models: Models = None,
    platform: Platform = PricedAs.LAMBDA,
    memory_mb: MemoryMb = None,
    vcpu_milli: VcpuMilli = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PRICE, help=r"Who pays. \[default: local]", show_default=False
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PRICE,
            help=r"Plan whose prices apply, of those in FARTHING_PLANS. \[default: at cost]",
            show_default=False,
        ),
    ] = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Score every row of files once, and say what it cost.

    The files are looked through first; what is wrong with one is told before anything is scored.
    Then shards of --shard-rows rows are scored, written to --out as part-00000.jsonl and so on,
    and booked in the ledger, each once. In the end --out/manifest.json holds counts, digests and
    the charge. The same rows give the same bytes, however they are cut up and whoever scores them.

    [b]Nothing is lost.[/b] A worker that dies is replaced. A run that is stopped, even killed, goes
    on with the same command or [b]farthing batch resume[/b]; rows that are done are not done again.
    A run that is told to stop (SIGTERM, ^C, a spot machine's notice) ends with exit code 75.

    [b]Rows that cannot be scored[/b] (blank, too long, no UTF-8, the wrong number of fields) are
    left out and listed in rejected-00000.jsonl with the reason, never with the text.

    Try: [b]farthing batch run titles.csv --task classify --id id --text title --out scored[/b]
    """
    settings = settings_of(platform, models, memory_mb, vcpu_milli)

    def create(shown: Progress) -> Opened:
        from farthing.batch.jobs import JobRequest, create_job

        request = JobRequest(
            uris=tuple(files),
            task=task,
            model=model,
            text=text,
            id=id_column,
            out=place_of(out),
            out_format=out_format,
            top_k=top_k,
            shard_rows=shard_rows,
            overwrite=overwrite,
            tenant=tenant,
            plan=plan,
        )
        return create_job(request, settings, shown.planning)

    way = Way(engine, workers, spot, rejected_max, ledger, as_json)
    go_on(create, settings, way)
