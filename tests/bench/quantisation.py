"""Quantisation schemes side by side: quality, batch drift, latency, size, load time.

Every variant is made by the forge from the cached float32 model and measured through
`farthing.inference`, as it would serve. It needs the extra `forge` and FARTHING_DATA; a classifier
is compared only if its float32 student is in the cache, because training takes minutes.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.results import Result, compared
from tests.bench.surroundings import ROOT, console, data, skip

if TYPE_CHECKING:
    from farthing.forge.quantise.schemes import QuantisationPlan
    from farthing.forge.workshop import Workshop

CACHE = ROOT / ".cache" / "forge"
NAMES = ("all-minilm-l6-v2", "retail-banking-intents")
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
    from farthing.forge.workshop import Workshop

    rows = []
    for name in NAMES:
        with bars() as progress:
            workshop = Workshop(find(name), CACHE, progress)
            if not workshop.is_trained():
                skip(name, f"no student in {CACHE}; run `farthing forge build {name}` once")
                continue
            for title, plan in progress.track(schemes().items(), description=name):
                rows.append(_measure(workshop, title, plan, rounds))
    return rows


def _measure(workshop: Workshop, title: str, plan: QuantisationPlan, rounds: int) -> Measured:
    from farthing.forge.evaluate import quality

    test = workshop.splits.test
    folder = workshop.bundle("", plan)
    model = quality.open_model(folder, 1)
    if workshop.recipe.task == "classify":
        scored = quality.classification(model, test)
        value, worst = scored.accuracy, scored.macro_f1
    else:
        original = quality.open_model(workshop.float32(), 1)
        like = quality.likeness(model, original, test.texts)
        value, worst = like.mean, like.min
    drift = quality.drift(model, test.texts, workshop.recipe.drift)
    speed = quality.speed(folder, test.texts, 1, rounds * RUNS_PER_ROUND)
    return Measured(
        model=workshop.recipe.name,
        scheme=title,
        quality=value,
        worst=worst,
        labels_changed=drift.labels_changed,
        drift_min_cosine=drift.min_cosine,
        drift_max_difference=drift.max_abs_difference,
        one_text_ms=speed.one_text_ms,
        batch_ms_per_text=speed.batch_ms_per_text,
        load_ms=speed.load_ms,
        size_mb=sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
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
