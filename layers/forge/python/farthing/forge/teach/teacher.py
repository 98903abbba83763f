"""A recipe's teacher, by its method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.forge.linear.model import fit
from farthing.forge.teach.frozen import frozen
from farthing.forge.teach.teaching import Teaching, digest_of
from farthing.forge.teach.tuned import given, tuned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.data.splits import Splits
    from farthing.forge.plans import TeacherPlan
    from farthing.forge.recipe import Recipe

F32_BYTES = 4


def teach(
    recipe: Recipe,
    plan: TeacherPlan,
    splits: Splits,
    extra: Sequence[str],
    cache: Path,
    progress: Progress,
) -> Teaching:
    """What the recipe's teacher says of its training, validation and test texts and of `extra`."""
    if plan.method == "frozen":
        return frozen(plan, splits, extra, cache, progress)
    if plan.method == "fine-tuned":
        return tuned(recipe, plan, splits, extra, cache, progress)
    if plan.method == "classifier":
        return given(plan, splits, extra, cache, progress)
    return _linear(plan, splits, extra, progress)


def _linear(
    plan: TeacherPlan, splits: Splits, extra: Sequence[str], progress: Progress
) -> Teaching:
    """Character n-grams under a linear SVM."""
    task = progress.add_task("linear teacher", total=1)
    model = fit("char_wb", splits.train, splits.labels, plan.seed, plan.folds)
    logits = {"train": model.held_out_logits}
    for name, texts in (
        ("valid", splits.valid.texts),
        ("test", splits.test.texts),
        ("extra", extra),
    ):
        if texts:
            logits[name] = model.logits(texts)
    progress.advance(task)
    return Teaching(
        name="character n-grams under a linear SVM",
        labels=splits.labels,
        digest=digest_of("linear", model.weights, model.bias),
        parameters=model.parameters,
        f32_bytes=model.parameters * F32_BYTES,
        logits=logits,
        answer=model.logits,
    )
