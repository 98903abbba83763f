"""`farthing warm`: whether keeping instances warm is worth its price."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli import planned
from farthing.cli.options import AsJson, PricedAs

if TYPE_CHECKING:
    from farthing.planning.warmth.plan import WarmPlan

app = typer.Typer(help="Find out what keeping instances warm costs, and whether it pays.")
DEFAULT_BUNDLE = "product-classifier"
COLUMNS = ("USD", "p50 ms", "p99", "p99.9", "cold", "reaches")


@app.callback()
def _group() -> None:
    """Find out what keeping instances warm costs, and whether it pays."""


@app.command()
def plan(
    trace: Annotated[
        Path,
        typer.Argument(
            help="CSV, tabs or JSON lines, also packed by gzip: a timestamp for each call; or only "
            "a time and a number of calls for each interval.",
            show_default=False,
        ),
    ],
    p99_ms: Annotated[
        float,
        typer.Option(min=0.001, help="What 99 of 100 calls may take, in ms.", show_default=False),
    ],
    p999_ms: Annotated[
        float | None,
        typer.Option(min=0.001, help="What 999 of 1,000 may take, in ms.", show_default=False),
    ] = None,
    platform: planned.Platform = PricedAs.LAMBDA,
    memory_mb: planned.MemoryMb = planned.DEFAULT_MB,
    arch: planned.Architecture = planned.Arch.ARM64,
    bundle: planned.Bundle = DEFAULT_BUNDLE,
    p50_ms: planned.P50Ms = None,
    cold_ms: planned.ColdMs = None,
    region: planned.Region = "us-east-1",
    schedule: Annotated[
        bool,
        typer.Option("--schedule", help="Print the scheduled actions of a floor by schedule."),
    ] = False,
    plot: Annotated[Path | None, planned.Plot] = None,
    show_all: planned.ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Say which way of keeping instances warm reaches a p99 for the least money.

    Every call of the trace is simulated on plain instances that stop when they idle, on pinged
    ones, on snapshots, and on a floor that is always ready or only in the hours of the week that
    need one. A p99 lets one call in a hundred start cold: often nothing has to be kept warm. A
    ping keeps one instance; several need as many pings at once.

    Try: [b]farthing warm plan calls.csv --p99-ms 250[/b], and [b]--p999-ms 250[/b]
    """
    from farthing.planning.errors import PlanningError
    from farthing.planning.warmth.history import read_history
    from farthing.planning.warmth.plan import plan_warmth
    from farthing.planning.warmth.ways import Target

    planned.require_plot(plot)
    if not all(math.isfinite(ms) for ms in (p99_ms, p999_ms or 1.0)):
        raise PlanningError("A target is a number of ms. Give one that ends.")
    site = planned.site_of(
        platform, arch, memory_mb, region, bundle or DEFAULT_BUNDLE, p50_ms, cold_ms
    )
    with planned.simulating() as progress:
        made = plan_warmth(read_history(trace), site, Target(p99_ms, p999_ms), progress)
    if plot is not None:
        from farthing.cli.plan_plots import draw_warm

        draw_warm(made, plot)
    if as_json:
        sys.stdout.write(json.dumps(made.as_json(), indent=2) + "\n")
    elif schedule:
        _print_schedule(made)
        return
    else:
        _show(made)
        if show_all:
            planned.tell_all(made.as_json(), "way")
    if made.cheapest is None:
        raise PlanningError(made.sentence)


def _print_schedule(made: WarmPlan) -> None:
    """Raises `PlanningError` where the plan has none."""
    from farthing.planning.errors import PlanningError

    for way in made.ways:
        if way.actions:
            sys.stdout.write("\n".join((f"# {way.profile}", *way.actions)) + "\n")
            return
    why = next((why for name, why in made.left_out if name == "schedule"), "")
    raise PlanningError(f"The plan has no schedule: {why}. Leave --schedule out.")


def _show(made: WarmPlan) -> None:
    from rich.console import Console

    from farthing.cli.tables import names, numbers, table_of, texts

    table = table_of(*names("way"), *texts("what is kept"), *numbers(*COLUMNS))
    for way in made.ways:
        table.add_row(
            way.name,
            way.profile,
            f"{way.usd_month:,.4f}",
            *(f"{ms:,.1f}" for ms in (way.p50_ms, way.p99_ms, way.p999_ms)),
            f"{way.cold_share:.3%}",
            "yes" if way.reaches else "no",
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{made.platform}, {made.memory_mb:,} MB, {made.arch}: {made.calls_month:,} calls a month, "
        f"for {made.target}. USD a month."
    )
    Console(highlight=False).print(table)
    if made.cheapest is not None:
        console.print(made.sentence, markup=False)
