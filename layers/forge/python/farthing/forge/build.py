"""One recipe from start to finish: train or take, export, quantise, pack, measure, publish."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.forge import pack
from farthing.forge.data.labelled import data_root, read_column
from farthing.forge.distil.vocabulary import bare_tokenizer
from farthing.forge.evaluate import quality as evaluate
from farthing.forge.export.graph import Graph
from farthing.forge.quantise.calibrate import Seen, observe, token_batches
from farthing.forge.quantise.schemes import QuantisationPlan, quantise
from farthing.forge.reference import float32_bundle, read_set
from farthing.inference.bundle import MODEL_FILE, TOKENIZER_FILE, read_manifest
from farthing.inference.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rich.progress import Progress

    from farthing.forge.recipe import Recipe

CALIBRATION_TEXTS = 600


def build(recipe: Recipe, out: Path, cache: Path, progress: Progress) -> Path:
    """The folder `out`/name with the finished bundle; an older one there is replaced at the end."""
    reference = float32_bundle(recipe, cache, progress)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / recipe.name
        task = progress.add_task(f"quantise ({recipe.quantisation.scheme})", total=1)
        variant(recipe, reference, recipe.quantisation, folder)
        progress.advance(task)
        pack.write_licences(folder, recipe.licence_text(), recipe.notice)
        task = progress.add_task("measure", total=1)
        measured = measure(recipe, folder, reference)
        pack.write_manifest(folder, measured)
        progress.advance(task)
        pack.publish(folder, out / recipe.name)
    return out / recipe.name


def variant(recipe: Recipe, reference: Path, plan: QuantisationPlan, folder: Path) -> None:
    """Writes into `folder` a bundle of `reference` under another scheme, not yet measured."""
    graph = Graph.load(reference / MODEL_FILE)
    tokenizer = bare_tokenizer(reference / TOKENIZER_FILE)
    seen = calibration(recipe, graph, reference) if plan.scheme == "static" else None
    pack.write_parts(folder, quantise(graph, plan, seen), tokenizer)
    pack.write_manifest(folder, description(recipe, reference, plan))


def calibration(recipe: Recipe, graph: Graph, reference: Path) -> dict[str, Seen]:
    """The activations on texts that no measurement uses: training rows, or rows past the test's."""
    data = recipe.data
    file = data_root() / (data.train or data.test)
    start = 0 if data.train else data.rows
    column = read_column(file, data.text)[start:]
    texts = column[:: max(1, len(column) // CALIBRATION_TEXTS)][:CALIBRATION_TEXTS]
    encoded = Tokenizer(reference / TOKENIZER_FILE, recipe.max_tokens).encode(texts)
    return observe(graph, token_batches([text.ids for text in encoded], 32))


def description(recipe: Recipe, reference: Path, plan: QuantisationPlan) -> pack.Description:
    """What the manifest of a variant says before anything is measured."""
    _, manifest = read_manifest(reference)
    return pack.Description(
        name=recipe.name,
        task=recipe.task,
        labels=manifest.labels,
        pooling=recipe.pooling,
        normalize=recipe.normalize,
        max_tokens=recipe.max_tokens,
        dims=manifest.dims,
        quantisation=msgspec.to_builtins(plan),
        licence=recipe.licence,
        origin=recipe.origin,
    )


def evaluate_bundle(
    recipe: Recipe, folder: Path, cache: Path, *, threads: int, progress: Progress
) -> dict[str, pack.Plain]:
    """Quality, drift, size and speed of the bundle in `folder`, as flat plain values.

    Keys are those of a manifest's `accuracy` and `batch_drift`, the latter with the prefix
    `drift_`, and the fields of `evaluate.Speed`.
    """
    reference = float32_bundle(recipe, cache, progress)
    task = progress.add_task("measure", total=1)
    measured = measure(recipe, folder, reference)
    digest, manifest = read_manifest(folder)
    speed = evaluate.speed(folder, test_texts(recipe), threads)
    progress.advance(task)
    return {
        "name": manifest.name,
        "digest": digest,
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        **manifest.quantisation,
        **measured.accuracy,
        **{f"drift_{key}": value for key, value in measured.batch_drift.items()},
        **evaluate.rounded(speed),
    }


def test_texts(recipe: Recipe) -> list[str]:
    """The texts of the recipe's test rows."""
    data = recipe.data
    return read_column(data_root() / data.test, data.text, data.rows or None)


def measure(recipe: Recipe, folder: Path, reference: Path) -> pack.Description:
    """The description of the bundle in `folder` with its drift and quality, measured now."""
    model = evaluate.open_model(folder, threads=2)
    original = evaluate.open_model(reference, threads=2)
    data = recipe.data
    texts = test_texts(recipe)
    accuracy: dict[str, pack.Plain]
    if recipe.task == "classify":
        rows = read_set(data, data.test)
        ours = evaluate.classification(model, rows)
        theirs = evaluate.classification(original, rows)
        accuracy = {
            "data": f"{data.name} test",
            "rows": ours.rows,
            "metric": "accuracy",
            "value": round(ours.accuracy, 6),
            "macro_f1": round(ours.macro_f1, 6),
            "reference": round(theirs.accuracy, 6),
        }
    else:
        like = evaluate.likeness(model, original, texts)
        accuracy = {
            "data": data.name,
            "rows": like.rows,
            "metric": "cosine to f32",
            "value": round(like.mean, 6),
            "mean": round(like.mean, 6),
            "min": round(like.min, 6),
            "reference": 1.0,
        }
    drift = evaluate.drift(model, texts, recipe.drift)
    return replace(
        description(recipe, reference, recipe.quantisation),
        batch_drift=evaluate.rounded(drift),
        accuracy=accuracy,
    )
