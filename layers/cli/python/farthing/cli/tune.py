"""`farthing tune`: which memory size is cheapest, without a cloud account."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, Model, Models, require_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.cli.tuning.measure import Subject
    from farthing.cli.tuning.places import Place
    from farthing.cli.tuning.quotas import Quota
    from farthing.planning.knee import Level
    from farthing.planning.tuning import TunedSize, Tuning

CALLS = 100
DEFAULT_SIZES = "128,256,512,1024,1769,3008,5120,10240"


def tune(
    function: Annotated[str, typer.Argument(help="classify or embed.", show_default=False)],
    sizes: Annotated[
        str, typer.Option(help="Memory sizes in MB, with commas between.")
    ] = DEFAULT_SIZES,
    calls: Annotated[
        int, typer.Option(min=1, max=100_000, help="Warm calls timed at each size.")
    ] = CALLS,
    image: Annotated[
        str | None,
        typer.Option(
            help="Run the function in containers of this image, for Lambda or HTTP, instead.",
            show_default=False,
        ),
    ] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help=r"JSON of the request to time. \[default: one title]", show_default=False
        ),
    ] = None,
    models: Models = None,
    model: Model = None,
    region: Annotated[str, typer.Option(help="AWS region whose prices apply.")] = "us-east-1",
    with_knee: Annotated[
        bool, typer.Option("--knee/--no-knee", help="Measure calls in flight on one core too.")
    ] = True,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw cost and time over memory: FILE.png or .svg.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest and the fastest memory size, by running the function here.

    The deployed function runs as under Lambda's runtime, held to each size's share of CPU; warm
    and cold calls are priced apart. Nothing is changed: the last lines say what to set.

    Try: [b]farthing tune classify[/b]
    """
    from rich.console import Console

    from farthing.billing.prices import read_price_book
    from farthing.cli.tuning.measure import subject_of
    from farthing.cli.tuning.measure import tune as measure

    if plot is not None:
        require_extra("reports", ("matplotlib",))
    subject = subject_of(function, event, models, _models(function, model), in_image=bool(image))
    place, quota = _place(image)
    console = Console(stderr=True, highlight=False)

    def load(subject: Subject) -> Sequence[Level]:
        from farthing.cli.tuning.load import levels

        return levels(subject, quota)

    tuning = measure(
        subject,
        place,
        _sizes(sizes),
        calls,
        read_price_book(),
        region,
        load if with_knee and image is None else None,
        lambda text: console.print(f"[dim]{text}[/]"),
    )
    if plot is not None:
        from farthing.cli.plots import draw_tuning

        draw_tuning(tuning, plot)
    if as_json:
        sys.stdout.write(json.dumps(tuning.as_json() | {"set": _advice(tuning)}, indent=2) + "\n")
    else:
        _show(tuning)


def _sizes(text: str) -> list[int]:
    from farthing.planning.errors import PlanningError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise PlanningError("--sizes are whole MB with commas between: 512,1024,1769.")
    return [int(part) for part in parts]


def _models(function: str, asked: list[str] | None) -> list[str]:
    """Those asked for, else those that this checkout deploys with the function, else all."""
    if asked:
        return asked
    from farthing.deployment.project import Project, ProjectError

    try:
        project = Project.read(Path())
    except ProjectError:
        return []
    described = project.functions.get(function)
    return list(described.models) if described else []


def _place(image: str | None) -> tuple[Place, Quota]:
    from farthing.cli.tuning.places import Container, Local
    from farthing.cli.tuning.quotas import find_quota

    quota = find_quota()
    if image is None:
        return Local(quota), quota
    from farthing.deployment.pack.engine import RUNNERS, find_engine
    from farthing.planning.errors import PlanningError

    engine = find_engine(of=RUNNERS)
    if not engine.has_image(image):
        raise PlanningError(
            f"{engine.name} has no such image. Make it with `farthing pack`, or leave --image out."
        )
    return Container(engine, image), quota


def _advice(tuning: Tuning) -> list[str]:
    """What to change by hand; the manifests hold the same figures as pyproject.toml."""
    size = tuning.cheapest.memory_mb
    lines = [
        f"pyproject.toml, [tool.farthing.functions.{tuning.function}]: memory_mb = {size}",
        f"template.yaml, {tuning.function.capitalize()}: MemorySize: {size}",
    ]
    if tuning.knee is not None:
        lines.append(
            f"knative/functions/{tuning.function}.yaml: containerConcurrency: {tuning.knee}"
        )
    return lines


def _show(tuning: Tuning) -> None:
    from rich.console import Console

    from farthing.cli.tables import numbers, table_of

    heads = ("MB", "vCPU", "ms p50", "p95", "rule", "USD/M x86", "arm64", "cold ms", "USD/M cold")
    table = table_of(*numbers(*heads))
    for size in tuning.sizes:
        table.add_row(*_cells(size))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{tuning.function} on {tuning.machine}; CPU held by {tuning.method}. Peak memory "
        f"{tuning.peak_mb} MB; a start takes {tuning.init_ms:.0f} ms with a full vCPU, which "
        "Lambda gives init. Calls come one by one with rests between; p50 and p95 are measured, "
        "rule is what a call takes whose share is always spent."
    )
    Console(highlight=False).print(table)
    console.print(
        f"Cheapest {tuning.cheapest.memory_mb:,} MB, fastest {tuning.fastest.memory_mb:,} MB, "
        f"balanced {tuning.balanced.memory_mb:,} MB. Not measured: what Lambda's own runtime adds."
    )
    for memory_mb, why in tuning.left_out:
        console.print(f"{memory_mb:,} MB left out: {why}.")
    for level in tuning.levels:
        console.print(
            f"{level.in_flight} in flight on one core: {level.calls_per_s:,.0f} calls a second, "
            f"{level.p50_ms:.2f} ms p50"
        )
    if tuning.knee is not None:
        console.print(f"The knee is at {tuning.knee} in flight ({tuning.knee_says}).")
    console.print("\nTo take the cheapest, set (nothing was changed):")
    for line in _advice(tuning):
        console.print(f"  {line}", markup=False)


def _cells(size: TunedSize) -> list[str]:
    warm, cold = size.warm_usd_per_million, size.cold_usd
    return [
        f"{size.memory_mb:,}",
        f"{size.vcpu_milli / 1000:.2f}",
        f"{size.warm_p50_ms:.2f}",
        f"{size.warm_p95_ms:.2f}",
        f"{size.rule_ms:.2f}",
        f"{warm['x86_64']:.4f}",
        f"{warm['arm64']:.4f}",
        f"{size.cold_ms:.0f}",
        f"{cold['x86_64'] * 1_000_000:.3f}",
    ]
