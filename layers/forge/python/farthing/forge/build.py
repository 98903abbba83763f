"""From a recipe to a published bundle: contest, measurement, proof, card."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.forge import pack
from farthing.forge.contest import receipt
from farthing.forge.contestants import hold_contest
from farthing.forge.evaluate import quality
from farthing.forge.evaluate.measure import evaluate, evaluate_embedder
from farthing.forge.evaluate.price import Pricing
from farthing.forge.evaluate.quality import FloatArray, answers, open_model
from farthing.forge.pack.card import write_card
from farthing.forge.pack.card_facts import card_of
from farthing.forge.pack.writing import description_of
from farthing.forge.proof.prove import Proof, prove
from farthing.forge.storage import room_for
from farthing.forge.workshop import Workshop
from farthing.inference.bundle import read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.progress import Progress

    from farthing.forge.contest.candidates import Entry
    from farthing.forge.contest.outcome import Outcome
    from farthing.forge.evaluate.report import Report
    from farthing.forge.recipe import Recipe

RECEIPTS = Path("layers/forge/receipts")


def build(
    recipe: Recipe,
    out: Path,
    cache: Path,
    progress: Progress,
    receipts: Path = RECEIPTS,
    skip_cpus: Collection[str] = (),
    floor: str = "",
    candidate: str = "",
) -> Path:
    """The folder `out`/name with the finished bundle; an older one there is replaced at the end.

    A classifier is the winner of the recipe's contest, whose receipt and plots are written to
    `receipts`/name. An embedder has nobody to compete with.

    :param skip_cpus: processors of the recipe's proof to leave out; the card says so.
    :param floor: instead of the recipe's.
    :param candidate: the name of who is packed, instead of the winner.
    :raises ContestInvalid: if there is no bundle of that name.
    :raises FloorNotMet: if no candidate is accurate enough.
    :raises ProofFailed: if the winner's answers differ between processors.
    """
    workshop = Workshop(recipe, cache, progress)
    if recipe.task == "embed":
        return publish_embedder(workshop, out, skip_cpus)
    outcome = hold_contest(workshop, floor)
    receipt.write(outcome, receipts / recipe.name)
    entry = outcome.bundle(candidate) if candidate else outcome.require_winner()
    return publish_entry(workshop, outcome, entry, out, receipts / recipe.name, skip_cpus)


def publish_entry(
    workshop: Workshop,
    outcome: Outcome,
    entry: Entry,
    out: Path,
    receipts: Path,
    skip_cpus: Collection[str] = (),
) -> Path:
    """One entry of a contest as the recipe's bundle in `out`: proven, carded, published."""
    report, scores = entry.report, entry.report.scores
    accuracy: dict[str, pack.Plain] = {}
    if scores is not None:
        accuracy = {
            "data": f"{workshop.recipe.data.name} test",
            "rows": scores.rows,
            "metric": "accuracy",
            "value": round(scores.accuracy, 6),
            "macro_f1": round(scores.macro_f1, 6),
        }
        if scores.teacher_accuracy is not None:
            accuracy["teacher"] = round(scores.teacher_accuracy, 6)
    written = (receipts / receipt.RECEIPT_FILE).read_bytes()
    return _publish(
        workshop,
        entry.candidate.bundle,
        report,
        accuracy,
        out,
        skip_cpus,
        outcome=outcome,
        receipt_digest=hashlib.sha256(written).hexdigest(),
    )


def publish_embedder(workshop: Workshop, out: Path, skip_cpus: Collection[str] = ()) -> Path:
    """The recipe's embedder in `out`, compared with what it is to be like."""
    recipe = workshop.recipe
    folder = workshop.bundle()
    task = workshop.progress.add_task("measure", total=1)
    metric, report = _compared(workshop, folder, 1)
    workshop.progress.advance(task)
    like = report.likeness
    if like is None:
        raise ValueError(f"{recipe.name} makes no vectors.")
    accuracy: dict[str, pack.Plain] = {
        "data": recipe.data.name,
        "rows": like.rows,
        "metric": metric,
        "value": round(like.mean, 6),
        "mean": round(like.mean, 6),
        "min": round(like.min, 6),
        "reference": 1.0,
    }
    return _publish(workshop, folder, report, accuracy, out, skip_cpus)


def reference_vectors(workshop: Workshop, threads: int) -> tuple[str, FloatArray]:
    """What an embedder's vectors are compared with, and its name: [texts, width].

    A student is compared with its teacher where their widths agree, anything else with its own
    float32 form.
    """
    if workshop.recipe.students:
        _, placed = workshop.places()
        _, manifest = read_manifest(workshop.float32())
        if placed.vectors.shape[1] == manifest.dims:
            return "cosine to the teacher", placed.vectors
    model = open_model(workshop.float32(), threads)
    return "cosine to f32", answers(model, workshop.splits.test.texts)


def measure(workshop: Workshop, folder: Path, *, threads: int = 1) -> Report:
    """The report on any bundle of the recipe's task, on its test rows.

    A classifier is compared with the recipe's teacher, if it has one; for an embedder see
    `reference_vectors`.
    """
    recipe, splits = workshop.recipe, workshop.splits
    if recipe.task == "embed":
        _, report = _compared(workshop, folder, threads)
        return report
    teaching = workshop.teaching() if recipe.teacher else None
    return evaluate(
        folder,
        splits.test,
        drift=recipe.drift,
        pricing=_pricing(workshop),
        teacher_logits=teaching.logits["test"] if teaching else None,
        labels=teaching.labels if teaching else (),
        out_of_scope=recipe.data.out_of_scope,
        threads=threads,
    )


def _compared(workshop: Workshop, folder: Path, threads: int) -> tuple[str, Report]:
    """An embedder's report, and the name of what its cosines are to."""
    metric, original = reference_vectors(workshop, threads)
    report = evaluate_embedder(
        folder,
        workshop.splits.test.texts,
        original,
        drift=workshop.recipe.drift,
        pricing=_pricing(workshop),
        threads=threads,
    )
    return metric, report


def _pricing(workshop: Workshop) -> Pricing:
    plan = workshop.recipe.contest
    return Pricing(platform=plan.platform, memory_mb=plan.memory_mb)


def _publish(
    workshop: Workshop,
    folder: Path,
    report: Report,
    accuracy: dict[str, pack.Plain],
    out: Path,
    skip_cpus: Collection[str],
    *,
    outcome: Outcome | None = None,
    receipt_digest: str = "",
) -> Path:
    recipe = workshop.recipe
    proof = proven(workshop, folder, skip_cpus)
    with tempfile.TemporaryDirectory() as temporary:
        finished = Path(temporary) / recipe.name
        finished.mkdir()
        with room_for(finished):
            for file in folder.iterdir():
                shutil.copyfile(file, finished / file.name)
        described = replace(
            description_of(folder),
            batch_drift=quality.rounded(report.drift) if report.drift else {},
            accuracy=accuracy,
            receipt=receipt_digest,
        )
        pack.write_manifest(finished, described)
        pack.write_licences(finished, recipe.licence_text(), recipe.notice)
        card = card_of(
            finished,
            recipe,
            report,
            data=workshop.splits.report,
            outcome=outcome,
            proof=proof,
            receipt=receipt_digest,
        )
        write_card(finished, card)
        pack.publish(finished, out / recipe.name)
    return out / recipe.name


def proven(workshop: Workshop, folder: Path, skip_cpus: Collection[str] = ()) -> Proof:
    """The proof that the processors of the recipe agree on test texts.

    :raises ProofFailed: if they do not.
    """
    plan = workshop.recipe.proof
    task = workshop.progress.add_task("prove", total=len(plan.cpus))

    def announce(cpu: str) -> None:
        workshop.progress.update(task, description=f"prove on {cpu}")
        workshop.progress.advance(task)

    texts = workshop.splits.test.texts
    return prove(folder, texts, plan, workshop.cache, skip=skip_cpus, announce=announce)
