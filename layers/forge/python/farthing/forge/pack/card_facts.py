"""A card filled from what was measured: report, contest, proof, data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.forge.evaluate.scores import worst_classes
from farthing.forge.evaluate.table import figures
from farthing.forge.pack.card import Card, WorstClass
from farthing.inference.bundle import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.contest.outcome import Outcome
    from farthing.forge.data.checks import DataReport
    from farthing.forge.evaluate.report import Report
    from farthing.forge.proof.prove import Proof
    from farthing.forge.recipe import Recipe
    from farthing.inference.bundle import Manifest

CLASSES_SHOWN = 5
SAID_ELSEWHERE = "digest"
KINDS = {
    "char_wb": "a linear model on character n-grams inside words",
    "word": "a linear model on words and pairs of words",
}


def card_of(
    folder: Path,
    recipe: Recipe,
    report: Report,
    *,
    data: DataReport | None = None,
    outcome: Outcome | None = None,
    proof: Proof | None = None,
    receipt: str = "",
) -> Card:
    """The card of the finished bundle in `folder`.

    :param report: on the test rows.
    :param receipt: sha256 of the receipt of `outcome`, as in the manifest.
    """
    digest, manifest = read_manifest(folder)
    teacher = None if outcome is None else outcome.teacher
    classes = () if report.scores is None else worst_classes(report.scores, CLASSES_SHOWN)
    return Card(
        recipe=recipe,
        digest=digest,
        kind=_kind(manifest),
        labels=manifest.labels,
        figures=_figures(report),
        teacher=_teacher(recipe),
        teacher_figures=() if teacher is None else _figures(teacher.report),
        choice="" if outcome is None else outcome.why(),
        classes=tuple(msgspec.convert(it, WorstClass, from_attributes=True) for it in classes),
        proof=() if proof is None else tuple(proof.sentences()),
        limits=report.warnings,
        data=data,
        receipt=receipt,
    )


def _figures(report: Report) -> tuple[tuple[str, str], ...]:
    return tuple((what, value) for what, value in figures(report) if what != SAID_ELSEWHERE)


def _kind(manifest: Manifest) -> str:
    model = KINDS.get(manifest.encoder, "a transformer")
    scheme, bits = manifest.quantisation.get("scheme"), manifest.quantisation.get("bits")
    weights = "float32 weights" if scheme == "none" else f"{bits}-bit weights ({scheme})"
    return f"{model}, {weights}"


def _teacher(recipe: Recipe) -> str:
    if recipe.teacher is None:
        return ""
    if recipe.teacher.method == "linear":
        return "The teacher is a linear model."
    source = recipe.teacher.source
    return f"The teacher is {source.hub or source.folder or source.path}, {recipe.teacher.method}."
