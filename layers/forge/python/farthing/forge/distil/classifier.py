"""A student classifier learns from a teacher's logits and vectors and from the given labels."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import BertModel

from farthing.forge.batches import by_length, padded, token_rows
from farthing.forge.distil.losses import (
    NO_LABEL,
    SourceAttention,
    attention_loss,
    given_loss,
    soft_loss,
    vector_loss,
)
from farthing.forge.distil.students import Seen, StudentClassifier, Trained, student_encoder
from farthing.forge.distil.vocabulary import bare_tokenizer, prune, used_ids
from farthing.forge.quantise.qat import fake_quantised
from farthing.forge.quietly import quietly
from farthing.forge.teach.heads import fit_head
from farthing.forge.tuning import Run, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.data.splits import Splits
    from farthing.forge.plans import StudentPlan
    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import Recipe
    from farthing.forge.teach.teaching import Teaching

FloatArray = npt.NDArray[np.float32]

# Inverse regularisation of the first head; tuning changes it anyway.
HEAD_C = 10.0


def distil_classifier(
    recipe: Recipe,
    plan: StudentPlan,
    source: Pretrained,
    splits: Splits,
    extra: Sequence[str],
    teaching: Teaching,
    state: Path,
    progress: Progress,
) -> Trained:
    """A student of `plan`'s shape, taught on the training rows and on `extra` texts.

    `extra` are the texts without labels that `teaching` knows as "extra"; `state` is the file
    from which an interrupted training goes on.
    """
    torch.manual_seed(recipe.training.seed)  # what begins at random, whatever was made before
    full = bare_tokenizer(source.tokenizer_path)
    keep = used_ids(full, splits.train.texts, plan.vocabulary_min_count)
    tokenizer = prune(full, keep)
    encoder = student_encoder(source, plan.layers, keep, recipe.max_tokens)
    model = StudentClassifier(encoder, teaching.labels)
    rows = token_rows(tokenizer, (*splits.train.texts, *extra), recipe.max_tokens)
    begin_with_fitted_head(model, rows, splits.train.label_ids(teaching.labels))
    lesson = _Lesson(recipe, model, rows, splits, teaching)
    if recipe.distillation.attention_weight:
        lesson.attend_to(source, keep)
    valid = token_rows(tokenizer, splits.valid.texts, recipe.max_tokens)
    wanted = np.array(splits.valid.label_ids(teaching.labels))

    def accuracy() -> float:
        return float((answers(model, valid).logits.argmax(-1) == wanted).mean())

    foreseen = recipe.quantisation
    exact_epochs = recipe.training.epochs - foreseen.qat_epochs

    def during(epoch: int) -> AbstractContextManager[object]:
        return fake_quantised(model.bert, foreseen.bits) if epoch > exact_epochs else nullcontext()

    lengths = [len(row) for row in lesson.rows]
    run = Run(lesson.modules, lengths, lesson.loss, accuracy, during)
    history = tune(run, recipe.training, state, progress, f"distil {plan.name}")
    return Trained(model, tokenizer, history)


def begin_with_fitted_head(
    model: StudentClassifier, rows: Sequence[Sequence[int]], label_ids: Sequence[int]
) -> None:
    """Gives the head what a logistic regression finds on the untuned encoder's vectors.

    From a random head the first steps would undo what the encoder knows: A. Kumar et al.,
    "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution" (2022).

    :param rows: those of the labels first; more may follow.
    """
    vectors = answers(model, rows[: len(label_ids)]).vectors
    head = fit_head(vectors, label_ids, len(model.labels), HEAD_C)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head.weight.T))
        model.head.bias.copy_(torch.from_numpy(head.bias))


class Answers(NamedTuple):
    """`logits` [rows, labels] and `vectors` [rows, width], both float32."""

    logits: FloatArray
    vectors: FloatArray


def answers(student: StudentClassifier, rows: Sequence[Sequence[int]], batch: int = 64) -> Answers:
    """What the student makes of rows of token ids, in their order."""
    student.eval()
    logits = np.empty((len(rows), len(student.labels)), dtype=np.float32)
    vectors = np.empty((len(rows), student.head.in_features), dtype=np.float32)
    for part in by_length(rows, batch):
        ids, mask = padded([rows[row] for row in part])
        with torch.inference_mode():
            seen = student(ids, mask)
        logits[part], vectors[part] = seen.logits.numpy(), seen.vectors.numpy()
    return Answers(logits, vectors)


class _Lesson:
    """The rows, their targets and the loss of one student."""

    def __init__(
        self,
        recipe: Recipe,
        model: StudentClassifier,
        rows: list[list[int]],
        splits: Splits,
        teaching: Teaching,
    ) -> None:
        self._plan = recipe.distillation
        self._bfloat16 = recipe.training.bfloat16
        self._model = model
        self.rows = rows
        given = splits.train.label_ids(teaching.labels)
        self._given = torch.tensor(given + [NO_LABEL] * (len(rows) - len(given)))
        self._soft = _joined(teaching.logits)
        self.modules = nn.ModuleDict({"student": model})
        self._vectors: torch.Tensor | None = None
        if self._plan.feature_weight and teaching.vectors:
            self._vectors = _joined(teaching.vectors)
            width = self._vectors.shape[1]
            # A linear image of the student's vector in the teacher's width; gone after training.
            self.modules["projection"] = nn.Linear(model.head.in_features, width)
        self._source_attention: SourceAttention | None = None

    def attend_to(self, source: Pretrained, keep: list[int]) -> None:
        """From now on the loss asks for the source's attention maps, too."""
        with quietly():
            whole = BertModel.from_pretrained(
                source.folder,
                add_pooling_layer=False,
                use_safetensors=True,
                attn_implementation="eager",
            )
        self._model.bert.set_attn_implementation("eager")
        self._source_attention = SourceAttention(whole, keep)

    def loss(self, part: list[int]) -> torch.Tensor:
        """The mean loss of those rows; see `plans.DistillationPlan`."""
        plan = self._plan
        ids, mask = padded([self.rows[row] for row in part])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16):
            seen: Seen = self._model(ids, mask, maps=self._source_attention is not None)
        loss = (1 - plan.soft_weight) * given_loss(seen.logits, self._given[part])
        soft = soft_loss(seen.logits, self._soft[part], plan.temperature)
        loss = loss + plan.soft_weight * soft
        if self._vectors is not None:
            image = self.modules["projection"](seen.vectors)
            loss = loss + plan.feature_weight * vector_loss(image, self._vectors[part])
        if self._source_attention is not None and seen.attention is not None:
            told = attention_loss(seen.attention, self._source_attention(ids, mask), mask)
            loss = loss + plan.attention_weight * told
        return loss


def _joined(parts: dict[str, FloatArray]) -> torch.Tensor:
    """The training rows, then the extra texts: the order of the lesson's rows."""
    return torch.from_numpy(np.concatenate([parts[k] for k in ("train", "extra") if k in parts]))
