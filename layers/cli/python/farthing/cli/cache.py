"""`farthing cache`: whether a cache of answers is worth its price."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli import planned
from farthing.cli.options import AsJson, PricedAs
from farthing.settings import YEAR_S

if TYPE_CHECKING:
    from farthing.planning.caching.plan import CachePlan

app = typer.Typer(help="Find out what a cache of answers saves, and where it pays to keep it.")
LOCAL_MB_MAX = 10_240
COLUMNS = ("hits", "local", "ms", "computing", "store", "in all", "pays from")


class Task(StrEnum):
    EMBED = "embed"
    CLASSIFY = "classify"


BUNDLES = {Task.EMBED: "all-minilm-l6-v2", Task.CLASSIFY: "product-classifier"}


@app.callback()
def _group() -> None:
    """Find out what a cache of answers saves, and where it pays to keep it."""


@app.command()
def plan(
    trace: Annotated[
        Path,
        typer.Argument(
            help="CSV, tabs or JSON lines, also packed by gzip: a timestamp for each call, and a "
            "column that tells which are equal.",
            show_default=False,
        ),
    ],
    text: Annotated[
        str,
        typer.Option(help="That column: a text, or any key of it. It is hashed, never shown."),
    ] = "text",
    task: Annotated[Task, typer.Option(help="What is computed, and so how large an answer is.")] = (
        Task.EMBED
    ),
    platform: planned.Platform = PricedAs.LAMBDA,
    memory_mb: planned.MemoryMb = planned.DEFAULT_MB,
    arch: planned.Architecture = planned.Arch.ARM64,
    ttl: Annotated[
        int, typer.Option(min=0, max=YEAR_S, help="How long an answer is kept, in s.")
    ] = 3600,
    max_mb: Annotated[
        int,
        typer.Option(min=1, max=LOCAL_MB_MAX, help="Memory of each process's own cache, in MB."),
    ] = 32,
    bundle: planned.Bundle = None,
    p50_ms: planned.P50Ms = None,
    region: planned.Region = "us-east-1",
    plot: Annotated[Path | None, planned.Plot] = None,
    show_all: planned.ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Say which cache of answers a trace is worth: none, the process's own, or one beside it.

    Each call is replayed on instances that come and go, whose own caches go with them, and on
    stores that all share. A saved answer is worth a few cents a million, and a store has its own
    price, so the process's own cache is mostly the one that pays.

    Try: [b]farthing cache plan queries.csv --text query[/b], and [b]--ttl 86400[/b]
    """
    from farthing.planning.caching.calls import read_keyed
    from farthing.planning.caching.plan import plan_cache

    planned.require_plot(plot)
    site = planned.site_of(platform, arch, memory_mb, region, bundle or BUNDLES[task], p50_ms, None)
    with planned.simulating() as progress:
        made = plan_cache(
            read_keyed(trace, text),
            site,
            ttl_s=ttl,
            local_mb=max_mb,
            entry_bytes=f"cache.{task.value}-bytes",
            progress=progress,
        )
    if plot is not None:
        from farthing.cli.plan_plots import draw_cache

        draw_cache(made, plot)
    if as_json:
        sys.stdout.write(json.dumps(made.as_json(), indent=2) + "\n")
        return
    _show(made)
    if show_all:
        planned.tell_all(made.as_json(), "choice")


def _show(made: CachePlan) -> None:
    from rich.console import Console

    from farthing.cli.tables import numbers, table_of, texts

    table = table_of(*texts("cache"), *numbers(*COLUMNS))
    for choice in made.choices:
        is_store = choice.cache not in {"off", "memory"}
        pays = "never" if choice.pays_from is None else f"{choice.pays_from:,.0f}"
        table.add_row(
            choice.name,
            f"{choice.local + choice.remote:.1%}",
            f"{choice.local:.1%}",
            f"{choice.ms:,.2f}",
            f"{choice.computing_usd:,.4f}",
            f"{choice.store_usd:,.4f}" if is_store else "-",
            f"{choice.usd_month:,.4f}",
            pays if is_store else "-",
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{made.platform}, {made.memory_mb:,} MB, {made.arch}: {made.calls_month:,} calls a month, "
        f"answers kept for {made.ttl_s:,} s. USD a month; hits in all and in the process; a store "
        "pays from so many calls a day."
    )
    Console(highlight=False).print(table)
    console.print(made.sentence, markup=False)
