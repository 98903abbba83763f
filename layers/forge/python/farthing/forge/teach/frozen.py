"""The default teacher: a frozen sentence encoder under a logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.forge.pretrained import locate
from farthing.forge.teach.features import FrozenEncoder
from farthing.forge.teach.heads import fit_head, out_of_fold
from farthing.forge.teach.teaching import Teaching, digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.data.splits import Splits
    from farthing.forge.plans import TeacherPlan

F32_BYTES = 4


def frozen(
    plan: TeacherPlan, splits: Splits, extra: Sequence[str], cache: Path, progress: Progress
) -> Teaching:
    """Features of every text, once; then a head, and heads by folds for the training rows."""
    source = locate(plan.source, cache)
    encoder = FrozenEncoder(source, plan.max_tokens, cache, bfloat16=plan.bfloat16)
    texts = {
        "train": splits.train.texts,
        "valid": splits.valid.texts,
        "test": splits.test.texts,
        "extra": tuple(extra),
    }
    vectors = {
        name: encoder.vectors(part, progress, f"the {name} texts")
        for name, part in texts.items()
        if part
    }
    labels = splits.labels
    ids = splits.train.label_ids(labels)
    task = progress.add_task("teacher's head", total=2)
    head = fit_head(vectors["train"], ids, len(labels), plan.c)
    progress.advance(task)
    logits = {name: head.logits(part) for name, part in vectors.items()}
    logits["train"] = out_of_fold(
        vectors["train"], ids, splits.train.texts, len(labels), c=plan.c, folds=plan.folds
    )
    progress.advance(task)
    parameters = encoder.parameters() + head.weight.size + head.bias.size
    return Teaching(
        name=f"{source.folder.name}, frozen, and a linear head",
        labels=labels,
        digest=digest_of(source.digest, encoder.digest, head.weight, head.bias),
        parameters=parameters,
        f32_bytes=parameters * F32_BYTES,
        logits=logits,
        answer=lambda batch: head.logits(encoder.exact(batch)),
        vectors=vectors,
    )
