"""A smaller sentence encoder learns to place texts where a larger one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from farthing.forge.batches import by_length, padded, token_rows
from farthing.forge.distil.losses import relation_loss, vector_loss
from farthing.forge.distil.students import Trained, mean_pooled, student_encoder
from farthing.forge.distil.vocabulary import bare_tokenizer, prune, reachable_ids
from farthing.forge.tuning import Run, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress
    from transformers import BertModel

    from farthing.forge.plans import StudentPlan
    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import Recipe

FloatArray = npt.NDArray[np.float32]

RELATION_WEIGHT = 1.0


@dataclass(frozen=True)
class Places:
    """Texts and where the teacher puts them: `vectors` [texts, width], each of length 1."""

    texts: tuple[str, ...]
    vectors: FloatArray


def distil_encoder(
    recipe: Recipe,
    plan: StudentPlan,
    source: Pretrained,
    train: Places,
    valid: Places,
    state: Path,
    progress: Progress,
) -> Trained:
    """A student of `plan`'s shape whose mean-pooled vectors are near the teacher's.

    Where the widths agree the loss is 1 - cosine plus the batch's relations; where they differ,
    relations alone. Validation accuracy is the mean cosine on `valid`, or, of differing widths,
    the share of `valid` texts whose nearest neighbour is the teacher's.
    """
    full = bare_tokenizer(source.tokenizer_path)
    keep = reachable_ids(full)
    tokenizer = prune(full, keep)
    model = student_encoder(source, plan.layers, keep, recipe.max_tokens)
    rows = token_rows(tokenizer, train.texts, recipe.max_tokens)
    held_out = token_rows(tokenizer, valid.texts, recipe.max_tokens)
    targets = torch.from_numpy(train.vectors)
    same_width = targets.shape[1] == model.config.hidden_size

    def loss(part: list[int]) -> torch.Tensor:
        ids, mask = padded([rows[row] for row in part])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.training.bfloat16):
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = mean_pooled(hidden.float(), mask)
        total = RELATION_WEIGHT * relation_loss(ours, targets[part])
        return total + vector_loss(ours, targets[part]) if same_width else total

    def likeness() -> float:
        ours = vectors(model, held_out)
        if same_width:
            return float((ours * valid.vectors).sum(axis=1).mean())
        return float((nearest(ours) == nearest(valid.vectors)).mean())

    modules = nn.ModuleDict({"student": model})
    run = Run(modules, [len(row) for row in rows], loss, likeness)
    history = tune(run, recipe.training, state, progress, f"distil {plan.name}")
    return Trained(model, tokenizer, history)


def vectors(model: BertModel, rows: Sequence[Sequence[int]], batch: int = 64) -> FloatArray:
    """Mean-pooled vectors of length 1 in float32, [rows, width], in the order of `rows`."""
    model.eval()
    result = np.empty((len(rows), model.config.hidden_size), dtype=np.float32)
    for part in by_length(rows, batch):
        ids, mask = padded([rows[row] for row in part])
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            result[part] = mean_pooled(hidden, mask).numpy()
    return result


def nearest(places: FloatArray) -> npt.NDArray[np.int64]:
    """For each row the number of the other row with the largest dot product."""
    likeness = places @ places.T
    np.fill_diagonal(likeness, -np.inf)
    found: npt.NDArray[np.int64] = likeness.argmax(axis=1)
    return found
