"""What the commands that plan from a trace share: the work, where it runs, and how far they are."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import PricedAs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farthing.planning.warmth.sites import Site

DEFAULT_MB = 1024
MS_MAX = 900_000


class Arch(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


Platform = Annotated[PricedAs, typer.Option(help="Where the calls would be computed.")]
Architecture = Annotated[
    Arch, typer.Option(help="The processor; Function Compute has x86_64 only.")
]
MemoryMb = Annotated[int, typer.Option(min=64, help="Memory of an instance, in MB.")]
Bundle = Annotated[
    str | None,
    typer.Option(help="Shipped bundle whose measured times are taken.", show_default=False),
]
P50Ms = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=MS_MAX,
        help="What a call computes on one full vCPU, in ms, instead.",
        show_default=False,
    ),
]
ColdMs = Annotated[
    float | None,
    typer.Option(
        min=0.001, max=MS_MAX, help="What a start takes, in ms, instead.", show_default=False
    ),
]
Region = Annotated[str, typer.Option(help="AWS region whose prices apply.")]
Plot = typer.Option(help="Draw it: FILE.png or FILE.svg.", show_default=False)
ShowAll = Annotated[
    bool, typer.Option("--all", help="Tell all that was assumed, and what was left out.")
]


def site_of(
    platform: PricedAs,
    arch: Arch,
    memory_mb: int,
    region: str,
    bundle: str,
    p50_ms: float | None,
    cold_ms: float | None,
) -> Site:
    """The bundle's work at that size. Raises `PlanningError` for what does not fit."""
    import msgspec

    from farthing.billing.prices import read_price_book
    from farthing.planning.assumptions import read_assumptions
    from farthing.planning.rates import Rates
    from farthing.planning.warmth.sites import SITES
    from farthing.planning.work import known_work

    stated = {"busy_ms": p50_ms, "init_ms": cold_ms}
    given = {name: value for name, value in stated.items() if value is not None}
    work = msgspec.structs.replace(known_work(bundle), **given)
    rates = Rates(read_price_book(planning=True), region)
    return SITES[platform](work, rates, read_assumptions(), memory_mb, arch.value)


@contextlib.contextmanager
def simulating() -> Iterator[Callable[[int], None]]:
    """Who is told how many simulations are done, and shows it on a terminal's stderr."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        running = progress.add_task("reading the trace")
        yield lambda done: progress.update(running, description=f"{done} simulations")


def tell_all(plan: dict[str, Any], kind: str) -> None:
    """What a plan assumed, what it leaves out and what it does not cover."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print("\nTraffic and assumptions:")
    for says in plan["traffic"]:
        console.print(f"- {says}", markup=False)
    for told in plan["assumptions"]:
        console.print(f"- {told['says']} ({told['source']})", markup=False)
    if plan["left_out"]:
        console.print("\nLeft out:")
    for one in plan["left_out"]:
        console.print(f"- {one[kind]}: {one['reason']}.", markup=False)
    console.print("\nNot covered:")
    for what in plan["not_covered"]:
        console.print(f"- {what}.", markup=False)


def require_plot(plot: Path | None) -> None:
    """Before a minute of simulating: what draws is there."""
    if plot is not None:
        from farthing.cli.options import require_extra

        require_extra("reports", ("matplotlib",))
