"""A small student classifier: first layers of a pretrained BERT, fine-tuned with a teacher."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from farthing.forge.distil.trim import trim_embeddings
from farthing.forge.distil.variants import variants
from farthing.forge.quietly import quietly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress
    from tokenizers import Tokenizer

    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import TrainingPlan
    from farthing.forge.teach.linear import LinearTeacher

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows gave; `accuracy` is on the validation rows, 0..1."""

    number: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Examples:
    """Rows of token ids with target probabilities [rows, labels]."""

    rows: list[list[int]]
    targets: FloatArray


def seed_everything(seed: int, threads: int) -> None:
    """Same seed, same kind of processor, same number of threads: the same weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def truncated_student(
    pretrained: Pretrained,
    layers: int,
    keep: Sequence[int],
    max_tokens: int,
    labels: tuple[str, ...],
) -> BertForSequenceClassification:
    """The first `layers` layers of `pretrained`, rows `keep` of its word table, a new head."""
    config = BertConfig.from_pretrained(
        pretrained.folder,
        num_hidden_layers=layers,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    with quietly():
        student: BertForSequenceClassification = BertForSequenceClassification.from_pretrained(
            pretrained.folder, config=config
        )
    trim_embeddings(student, keep, max_tokens)
    return student


def token_rows(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """The token ids of every text, cut to `max_tokens`, special tokens included."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    try:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    finally:
        tokenizer.no_truncation()


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """`input_ids` padded with 0 and `attention_mask`, both int64 [rows, longest row]."""
    longest = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def length_bucketed(
    lengths: Sequence[int], batch: int, generator: random.Random, pool_batches: int = 50
) -> Iterator[list[int]]:
    """Shuffled batches of row numbers whose rows have similar lengths.

    Rows are sorted only inside pools of `pool_batches` batches: padding almost vanishes, and
    the order stays random enough for stochastic gradients.
    """
    order = list(range(len(lengths)))
    generator.shuffle(order)
    batches: list[list[int]] = []
    pool = batch * pool_batches
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda row: lengths[row])
        batches.extend(part[at : at + batch] for at in range(0, len(part), batch))
    generator.shuffle(batches)
    yield from batches


def logits(
    student: BertForSequenceClassification, rows: Sequence[Sequence[int]], batch: int = 64
) -> FloatArray:
    """The student's outputs in float32, [rows, labels], in the order of `rows`."""
    student.eval()
    result = np.empty((len(rows), student.config.num_labels), dtype=np.float32)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        ids, mask = padded([rows[row] for row in part])
        with torch.inference_mode():
            result[part] = student(input_ids=ids, attention_mask=mask).logits.numpy()
    return result


class FineTuning:
    """One training run: a student, its teacher, its rows and its plan.

    The targets of a real row are `soft_weight` · teacher + (1 - `soft_weight`) · given label; those
    of an invented row are the teacher's alone. Cross entropy against such a mixture is the
    loss of G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015),
    section 2, at temperature 1.
    """

    def __init__(
        self,
        student: BertForSequenceClassification,
        tokenizer: Tokenizer,
        train: LabelledSet,
        teacher: LinearTeacher,
        soft_weight: float,
        max_tokens: int,
        plan: TrainingPlan,
    ) -> None:
        self.student = student
        self.tokenizer = tokenizer
        self.train = train
        self.teacher = teacher
        self.max_tokens = max_tokens
        self.plan = plan
        self.generator = random.Random(plan.seed)  # noqa: S311 - it shuffles, it guards nothing
        names = tuple(student.config.id2label[i] for i in range(student.config.num_labels))
        self.labels = names
        given = np.eye(len(names), dtype=np.float32)[train.label_ids(names)]
        self.real = Examples(
            token_rows(tokenizer, train.texts, max_tokens),
            soft_weight * teacher.soft_labels + (1 - soft_weight) * given,
        )

    def run(self, valid: LabelledSet, progress: Progress) -> list[Epoch]:
        """Trains the student in place; gives the epochs in order."""
        plan = self.plan
        invented = round(len(self.train) * plan.variants_share)
        steps = math.ceil((len(self.train) + invented) / plan.batch) * plan.epochs
        optimizer = self._optimizer()
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=plan.learning_rate,
            total_steps=steps,
            pct_start=plan.warmup_share,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        valid_rows = token_rows(self.tokenizer, valid.texts, self.max_tokens)
        valid_ids = np.array(valid.label_ids(self.labels))
        task = progress.add_task("fine-tune", total=steps)
        epochs: list[Epoch] = []
        for number in range(1, plan.epochs + 1):
            examples = self._examples(invented)
            self.student.train()
            total_loss = 0.0
            lengths = [len(row) for row in examples.rows]
            for part in length_bucketed(lengths, plan.batch, self.generator):
                total_loss += self._step(examples, part, optimizer) * len(part)
                schedule.step()
                progress.advance(task)
            right = logits(self.student, valid_rows).argmax(-1) == valid_ids
            epochs.append(Epoch(number, total_loss / len(lengths), float(right.mean())))
            progress.console.print(
                f"epoch {number}/{plan.epochs}: loss {epochs[-1].loss:.4f}, "
                f"validation accuracy {epochs[-1].accuracy:.4f}"
            )
        self.student.eval()
        return epochs

    def _examples(self, invented: int) -> Examples:
        """The real rows and, fresh in every epoch, `invented` variants of them."""
        if invented == 0:
            return self.real
        texts = variants(self.train.texts, invented, self.generator, self.plan.digit_change_share)
        return Examples(
            self.real.rows + token_rows(self.tokenizer, texts, self.max_tokens),
            np.concatenate([self.real.targets, self.teacher.probabilities(texts)]),
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters = list(self.student.parameters())
        return torch.optim.AdamW(
            [
                {
                    "params": [p for p in parameters if p.ndim > 1],
                    "weight_decay": self.plan.weight_decay,
                },
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.plan.learning_rate,
        )

    def _step(self, examples: Examples, part: list[int], optimizer: torch.optim.Optimizer) -> float:
        ids, mask = padded([examples.rows[row] for row in part])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.plan.bfloat16):
            scores = self.student(input_ids=ids, attention_mask=mask).logits
        loss = nn.functional.cross_entropy(scores.float(), torch.from_numpy(examples.targets[part]))
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())
