"""Quantisation schemes side by side: quality, batch drift, latency, size, load time.

Every variant is made by the forge from the cached float32 model and measured through
`farthing.inference`, as it would serve. It needs the extra `forge` and FARTHING_DATA; a classifier
is compared only if its float32 student is in the cache, because training takes minutes.
"""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.results import Result, compared
from tests.bench.surroundings import ROOT, console, data, skip

if TYPE_CHECKING:
    from farthing.forge.quantise.schemes import QuantisationPlan
    from farthing.forge.recipe import Recipe

CACHE = ROOT / ".cache" / "forge"
NAMES = ("all-minilm-l6-v2", "product-classifier")
RUNS_PER_ROUND = 40


@dataclass(frozen=True)
class Measured:
    """One scheme on one model; `quality` is accuracy or the mean cosine to float32, 0..1."""

    model: str
    scheme: str
    quality: float
    worst: float
    labels_changed: int
    drift_min_cosine: float
    drift_max_difference: float
    one_text_ms: float
    batch_ms_per_text: float
    load_ms: float
    size_mb: float


def schemes() -> dict[str, QuantisationPlan]:
    """The plans that are compared, by the name they have in the table."""
    from farthing.forge.quantise.schemes import QuantisationPlan as Plan

    return {
        "float32": Plan("none", bits=32),
        "dynamic": Plan("dynamic"),
        "static, min-max": Plan("static"),
        "static, 1e-5 clipped": Plan("static", outside_share=1e-5),
        "static, entropy": Plan("static", calibration="entropy"),
        "static, smoothed 0.5": Plan("static", smoothing_strength=0.5),
        "static, smoothed 0.7": Plan("static", smoothing_strength=0.7),
        "static, smoothed, GELU float": Plan(
            "static", smoothing_strength=0.5, float_after_gelu=True
        ),
        "block-wise 32": Plan("block-wise", block=32),
        "block-wise 64": Plan("block-wise", block=64),
        "block-wise 128": Plan("block-wise", block=128),
        "per-token, 8 bits": Plan("per-token"),
        "per-token, 7 bits": Plan("per-token", bits=7),
    }


def run(rounds: int) -> list[Result]:
    """Each scheme's one-text latency against float32's; the whole table is printed."""
    measured = measure(rounds)
    if measured:
        print_table(measured)
    results = []
    for model in dict.fromkeys(row.model for row in measured):
        rows = [row for row in measured if row.model == model]
        peer = next(row for row in rows if row.scheme == "float32")
        results += [
            compared(f"{model}, {row.scheme}", row.one_text_ms, peer.one_text_ms, "ms")
            for row in rows
            if row is not peer
        ]
    return results


def measure(rounds: int) -> list[Measured]:
    """All schemes on all models that are at hand; what is not is said aloud."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "optimum")):
        skip("quantisation", "the training stack is not installed: pip install 'farthing[forge]'")
        return []
    if data("product-search/catalogue.tsv.gz") is None:
        skip("quantisation", "FARTHING_DATA does not name the folder of the data sets")
        return []
    from farthing.forge.progress import bars
    from farthing.forge.recipe import find
    from farthing.forge.reference import float32_bundle, is_trained

    rows = []
    for name in NAMES:
        recipe = find(name)
        if not is_trained(recipe, CACHE):
            skip(name, f"no float32 student in {CACHE}; run `farthing forge build {name}` once")
            continue
        with bars() as progress:
            reference = float32_bundle(recipe, CACHE, progress)
            for title, plan in progress.track(schemes().items(), description=name):
                rows.append(_measure(recipe, reference, title, plan, rounds))
    return rows


def _measure(
    recipe: Recipe, reference: Path, title: str, plan: QuantisationPlan, rounds: int
) -> Measured:
    from farthing.forge import build
    from farthing.forge.evaluate import quality as evaluate

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "variant"
        build.variant(recipe, reference, plan, folder)
        manifest = build.measure(recipe, folder, reference)
        speed = evaluate.speed(folder, build.test_texts(recipe), 1, rounds * RUNS_PER_ROUND)
        size = sum(file.stat().st_size for file in folder.iterdir())
    quality, drift = manifest.accuracy, manifest.batch_drift
    return Measured(
        model=recipe.name,
        scheme=title,
        quality=float(quality["value"]),
        worst=float(quality.get("min", quality.get("macro_f1", 0.0))),
        labels_changed=int(drift["labels_changed"]),
        drift_min_cosine=float(drift["min_cosine"]),
        drift_max_difference=float(drift["max_abs_difference"]),
        one_text_ms=speed.one_text_ms,
        batch_ms_per_text=speed.batch_ms_per_text,
        load_ms=speed.load_ms,
        size_mb=size / 1e6,
    )


def print_table(rows: list[Measured]) -> None:
    """One table per model, in the order of the schemes."""
    from rich.table import Table

    for model in dict.fromkeys(row.model for row in rows):
        table = Table(title=model, title_justify="left", title_style="bold")
        table.add_column("scheme", no_wrap=True)
        for heading in (
            "quality", "min or F1", "labels", "min cos", "max diff", "1 text", "32, each", "load",
            "MB",
        ):  # fmt: skip
            table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            if row.model == model:
                table.add_row(
                    row.scheme,
                    f"{row.quality:.4f}",
                    f"{row.worst:.4f}",
                    str(row.labels_changed),
                    f"{row.drift_min_cosine:.5f}",
                    f"{row.drift_max_difference:.0e}",
                    f"{row.one_text_ms:.2f}",
                    f"{row.batch_ms_per_text:.2f}",
                    f"{row.load_ms:.0f}",
                    f"{row.size_mb:.1f}",
                )
        console.print(table)
    console.print(
        "quality: accuracy, or mean cosine to float32. labels, min cos, max diff: a text alone "
        "against among 31 random others. Times in ms on one thread, tokenizing included."
    )
