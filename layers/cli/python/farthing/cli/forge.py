"""`farthing forge`: make bundles and measure them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.options import AsJson, require_extra
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

app = typer.Typer(
    help="Make bundles from recipes and measure them. Needs the extra forge.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NEEDED = ("torch", "transformers", "optimum", "onnx", "sklearn")
Cache = Annotated[
    Path, typer.Option(help="Folder for float32 weights, so that another scheme trains nothing.")
]
DEFAULT_CACHE = Path(".cache/forge")


@app.command()
def build(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Names of shipped recipes, or .toml files.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Build every shipped recipe.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("layers/models"),
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Rebuild bundles: train or take the weights, quantise, pack, measure.

    Data sets are read from the folder in FARTHING_DATA.
    """
    require_extra("forge", NEEDED)
    from farthing.forge.build import build as build_bundle
    from farthing.forge.progress import bars
    from farthing.forge.recipe import find, shipped

    if bool(recipes) == every:
        raise SettingsError(
            f"forge build needs recipes or --all. Shipped recipes: {', '.join(shipped())}."
        )
    wanted = [find(name) for name in (shipped() if every else recipes or ())]
    with bars() as progress:
        built = [build_bundle(recipe, out, cache, progress) for recipe in wanted]
    if as_json:
        sys.stdout.write(json.dumps([_summary(folder) for folder in built], indent=2) + "\n")
        return
    _print([_summary(folder) for folder in built], "Built")


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe that names the data. [default: the bundle's own]"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores that one call may use.")] = 1,
    cache: Cache = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle through the serving code: quality, batch drift, speed.

    An embedder is compared with its float32 original, which is made once and cached.
    """
    require_extra("forge", NEEDED)
    from farthing.forge.build import evaluate_bundle
    from farthing.forge.progress import bars
    from farthing.forge.recipe import find
    from farthing.inference.bundle import read_manifest

    _, manifest = read_manifest(bundle)
    with bars() as progress:
        report = evaluate_bundle(
            find(recipe or manifest.name), bundle, cache, threads=threads, progress=progress
        )
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    _print([report], "Measured")


def _summary(folder: Path) -> dict[str, object]:
    from farthing.inference.bundle import read_manifest

    digest, manifest = read_manifest(folder)
    return {
        "name": manifest.name,
        "bundle": str(folder),
        "digest": digest,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        **manifest.quantisation,
        **manifest.accuracy,
        "labels_changed": manifest.batch_drift.labels_changed,
        "min_drift_cosine": manifest.batch_drift.min_cosine,
    }


def _print(reports: Sequence[Mapping[str, object]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for report in reports:
        table = Table("what", "measured", title=f"{title}: {report['name']}")
        for key, value in report.items():
            table.add_row(key, f"{value:.6g}" if isinstance(value, float) else str(value))
        console.print(table)
