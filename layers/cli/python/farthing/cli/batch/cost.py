"""`farthing batch cost`: what a run costs, and where it is cheapest, before it runs."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson

if TYPE_CHECKING:
    from farthing.planning.batch.quote import BatchQuote
    from farthing.planning.batch.run import BatchWork

SAMPLE_ROWS = 2_000
DEFAULTS = {"classify": "product-classifier", "embed": "all-minilm-l6-v2"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class TaskName(StrEnum):
    CLASSIFY = "classify"
    EMBED = "embed"


def cost(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files to be scored: their rows are counted, and some timed on this machine.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[TaskName, typer.Option(help="What is to be done with each row.")] = (
        TaskName.CLASSIFY
    ),
    text: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="How many rows there are, without a file.", show_default=False),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            help=r"Bundle by name. \[default: product-classifier, all-minilm-l6-v2 for embed]",
            show_default=False,
        ),
    ] = None,
    row_ms: Annotated[
        float | None,
        typer.Option(
            min=0.0001, help="What a row takes on one full vCPU, in ms.", show_default=False
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            help="When it must be done: 90s, 30m, 2h, 1d. Ways that are later come last.",
            show_default=False,
        ),
    ] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows of one shard.")] = 20_000,
    region: Annotated[str, typer.Option(help="AWS region whose prices apply.")] = "us-east-1",
    as_json: AsJson = False,
) -> None:
    """Say what a batch costs on Lambda, Function Compute, spot nodes and Ray, cheapest first.

    Given files, it counts their rows and times some of them here. Nothing is written.

    Try: [b]farthing batch cost --rows 10000000 --task embed --deadline 2h[/b]
    """
    from farthing.billing.prices import read_price_book
    from farthing.planning.assumptions import read_assumptions
    from farthing.planning.batch.quote import quote_batch
    from farthing.planning.batch.run import Run
    from farthing.planning.errors import PlanningError

    if bool(files) == (rows is not None):
        raise PlanningError(
            "A run has files, or a number of rows. Name files, or give --rows, and not both."
        )
    name = bundle or DEFAULTS[task.value]
    if files:
        from farthing.cli.batch.sample import count_and_time

        counted, work = count_and_time(files, task.value, text, name, SAMPLE_ROWS)
    else:
        counted, work = rows or 1, _known(name, task.value, row_ms)
    if row_ms is not None:
        work = _stated(work, row_ms)
    run = Run(work=work, rows=counted, shard_rows=shard_rows, deadline_s=_seconds(deadline))
    quotation = quote_batch(run, read_price_book(planning=True), read_assumptions(), region)
    if as_json:
        sys.stdout.write(json.dumps(quotation.as_json(), indent=2) + "\n")
    else:
        _show(quotation)


def _known(name: str, task: str, row_ms: float | None) -> BatchWork:
    """Raises `PlanningError` for a bundle that nobody measured, unless its time is stated."""
    from farthing.planning.batch.run import known_batch_work
    from farthing.planning.errors import PlanningError

    try:
        work = known_batch_work(name)
    except PlanningError:
        if row_ms is None:
            raise
        work = known_batch_work(DEFAULTS[task])
    if work.task != task:
        raise PlanningError(
            f"The bundle {work.name} is for {work.task}, and --task is {task}. Name another."
        )
    return work


def _stated(work: BatchWork, row_ms: float) -> BatchWork:
    import msgspec

    return msgspec.structs.replace(work, row_ms=row_ms, source=f"{work.source}; stated: row_ms")


def _seconds(deadline: str | None) -> int | None:
    """Raises `PlanningError` for what is no time."""
    from farthing.planning.errors import PlanningError

    if deadline is None:
        return None
    number, unit = deadline[:-1], SECONDS.get(deadline[-1:])
    if unit is None or not number.isdecimal() or not int(number):
        raise PlanningError(
            f"The deadline is {deadline!r}, which is no time. Write 90s, 30m, 2h or 1d."
        )
    return int(number) * unit


def _show(quotation: BatchQuote) -> None:
    from rich.console import Console

    from farthing.cli.tables import numbers, table_of, texts

    run, best = quotation.run, quotation.cheapest
    figures = numbers("workers", "hours", "USD", "USD per million rows", "in time")
    table = table_of(*texts("way"), *figures)
    for way in quotation.ways:
        table.add_row(
            f"{way.platform}, {way.profile}",
            f"{way.workers:,}",
            f"{way.hours:,.3f}",
            f"{way.usd:,.6f}",
            f"{way.per_million(run.rows):,.6f}",
            "yes" if way.in_time else "no",
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{run.rows:,} rows by {run.work.name}, {run.work.row_ms:g} ms each on one vCPU "
        f"({run.work.source}); {run.shards:,} shards; {quotation.region}, price book "
        f"{quotation.price_book}."
    )
    Console(highlight=False).print(table)
    if best is None:
        console.print("No way is in time. Give it longer, or smaller shards.")
    else:
        console.print(f"Cheapest in time: {best.platform}, {best.profile}.")
    for name, why in quotation.left_out:
        console.print(f"Left out: {name}: {why}.")
    console.print("\nAssumed:")
    for told in quotation.assumptions:
        console.print(f"- {told['says']} [dim]({told['source']})[/]")
