"""A recipe's contest: the teacher, the better linear model and every student in every scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec
import torch

from farthing.forge.contest.candidates import Candidate
from farthing.forge.contest.floor import read_floor
from farthing.forge.contest.hold import hold
from farthing.forge.evaluate.measure import score_model
from farthing.forge.evaluate.quality import open_model
from farthing.forge.linear.features import LinearKind
from farthing.forge.pretrained import locate
from farthing.forge.quantise.schemes import QuantisationPlan
from farthing.forge.teach.cold import start_teacher

if TYPE_CHECKING:
    from farthing.forge.contest.outcome import Outcome
    from farthing.forge.workshop import Workshop

THREADS = 1


def candidates(workshop: Workshop) -> list[Candidate]:
    """All who take part: the teacher first, which is measured and never wins."""
    return [_teacher(workshop), _linear(workshop), *_students(workshop)]


def hold_contest(workshop: Workshop, floor: str = "") -> Outcome:
    """The outcome of the recipe's contest, everything made and measured that is in it.

    :param floor: instead of the recipe's: an accuracy, "0.95", or a share, "0.98-of-teacher".
    """
    recipe = workshop.recipe
    read_floor(floor or recipe.contest.floor)  # refused before an hour of training, not after
    splits = workshop.splits
    plan = msgspec.structs.replace(recipe.contest, floor=floor) if floor else recipe.contest
    entered = candidates(workshop)
    torch.set_num_threads(THREADS)  # the teacher is timed on as many threads as a bundle
    return hold(
        entered,
        splits.valid,
        splits.test,
        plan=plan,
        drift=recipe.drift,
        out_of_scope=recipe.data.out_of_scope,
        threads=THREADS,
        provenance=provenance(workshop),
        progress=workshop.progress,
    )


def provenance(workshop: Workshop) -> dict[str, Any]:
    """Where a contest's numbers come from, by digest, for its receipt."""
    recipe, teaching = workshop.recipe, workshop.teaching()
    return {
        "recipe": {"name": recipe.name, "digest": recipe.digest()},
        "data": msgspec.to_builtins(workshop.splits.report),
        "teacher": {
            "name": teaching.name,
            "digest": teaching.digest,
            "parameters": teaching.parameters,
            "f32_bytes": teaching.f32_bytes,
        },
        "students": {
            student.name: msgspec.to_builtins(workshop.history(student.name))
            for student in recipe.students
        },
    }


def _teacher(workshop: Workshop) -> Candidate:
    plan, teaching = workshop.teacher_plan(), workshop.teaching()
    if plan.method == "linear":
        return Candidate("teacher", "teacher", None, teaching)
    kind = "AutoModel" if plan.method == "frozen" else "AutoModelForSequenceClassification"
    task = workshop.progress.add_task("start the teacher", total=1)
    folder = locate(plan.source, workshop.cache).folder
    start = start_teacher(folder, kind, workshop.splits.test.texts[0])
    workshop.progress.advance(task)
    return Candidate("teacher", "teacher", None, teaching, start.cold_ms, start.peak_rss_mb)


def _linear(workshop: Workshop) -> Candidate:
    """The linear model that is right more often on the validation rows, whatever it reads."""
    best, best_accuracy = None, -1.0
    for kind in get_args(LinearKind):
        folder = workshop.linear(kind)
        scores = score_model(
            open_model(folder, THREADS),
            workshop.splits.valid,
            out_of_scope=workshop.recipe.data.out_of_scope,
        )
        if scores.accuracy > best_accuracy:
            best = Candidate(f"linear {kind}", "linear", folder)
            best_accuracy = scores.accuracy
    if best is None:
        raise ValueError("There is no kind of linear model.")
    return best


def _students(workshop: Workshop) -> list[Candidate]:
    own = workshop.recipe.quantisation
    plans = {
        scheme: own if scheme == own.scheme else QuantisationPlan(scheme=scheme, bits=own.bits)
        for scheme in (*workshop.recipe.contest.schemes, "none")
    }
    return [
        Candidate(
            f"{student.name} {'float32' if scheme == 'none' else scheme}",
            "transformer",
            workshop.bundle(student.name, plan),
        )
        for student in workshop.recipe.students
        for scheme, plan in plans.items()
    ]
