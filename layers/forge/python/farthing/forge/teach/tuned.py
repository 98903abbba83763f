"""Teachers that are sequence classifiers: tuned here on the user's labels, or brought along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForSequenceClassification

from farthing.errors import StartupError
from farthing.forge.batches import by_length, padded, seed_everything, token_rows
from farthing.forge.pretrained import locate
from farthing.forge.quietly import quietly
from farthing.forge.recipe import key_of
from farthing.forge.storage import writing
from farthing.forge.teach.teaching import Teaching, digest_of
from farthing.forge.tuning import Run, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.data.splits import Splits
    from farthing.forge.plans import TeacherPlan
    from farthing.forge.pretrained import Pretrained
    from farthing.forge.recipe import Recipe

FloatArray = npt.NDArray[np.float32]

BATCH_TEXTS = 32
F32_BYTES = 4


class NoClassifier(StartupError):
    """The weights named as a teacher do not classify texts, or not into these labels."""


def tuned(
    recipe: Recipe,
    plan: TeacherPlan,
    splits: Splits,
    extra: Sequence[str],
    cache: Path,
    progress: Progress,
) -> Teaching:
    """A classifier of all weights of the source, tuned on the training rows.

    One run judges the rows it was tuned on, so its logits for "train" repeat the labels more than
    those of a teacher with folds: keep `epochs` low. Weights and logits are kept in `cache`.
    """
    source = locate(plan.source, cache)
    key = key_of(source.digest, plan, recipe.data)
    classifier = _Classifier(source, plan.max_tokens, splits.labels)
    file = cache / "teachers" / f"{key}.pt"
    classifier.learn(splits, plan, file, progress)
    return classifier.teaching(splits, extra, f"{source.folder.name}, fine-tuned", cache, progress)


def given(
    plan: TeacherPlan, splits: Splits, extra: Sequence[str], cache: Path, progress: Progress
) -> Teaching:
    """The source as it is: a sequence classifier that knows the recipe's labels by name.

    :raises NoClassifier: if it is none, or lacks one of the labels.
    """
    source = locate(plan.source, cache)
    if not any(name.endswith("ForSequenceClassification") for name in source.architectures):
        raise NoClassifier(
            f"{source.folder} was named as a teacher that classifies; it is "
            f"{', '.join(source.architectures) or 'of no stated architecture'}. Name a "
            'sequence classifier, or let it be tuned: method = "frozen" or "fine-tuned".'
        )
    by_number: dict[str, str] = source.config["id2label"]
    names = tuple(by_number[number] for number in sorted(by_number, key=int))
    lacking = sorted(set(splits.labels) - set(names))
    if lacking:
        raise NoClassifier(
            f"{source.folder} was named as a teacher and does not know the labels "
            f"{', '.join(lacking[:5])}; it knows {', '.join(names[:5])}… Rename the labels in the "
            'data, or use method = "fine-tuned".'
        )
    classifier = _Classifier(source, plan.max_tokens, names)
    return classifier.teaching(splits, extra, source.folder.name, cache, progress)


class _Classifier:
    """A transformers sequence classifier with its tokenizer; `names` are its outputs in order."""

    def __init__(self, source: Pretrained, max_tokens: int, names: tuple[str, ...]) -> None:
        self._source = source
        self._max_tokens = max_tokens
        self._names = names
        self._pad = source.config.get("pad_token_id") or 0
        self._tokenizer = Tokenizer.from_file(str(source.tokenizer_path))
        torch.manual_seed(0)  # a head that is not among the weights begins at random
        with quietly():
            self._model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
                source.folder, num_labels=len(names), use_safetensors=True
            )
        self._model.eval()

    def learn(self, splits: Splits, plan: TeacherPlan, state: Path, progress: Progress) -> None:
        """Tunes all weights; `state` keeps them, so that a second call trains nothing."""
        seed_everything(plan.seed, plan.training.threads)
        rows = self._rows(splits.train.texts)
        wanted = torch.tensor(splits.train.label_ids(self._names))
        valid_wanted = np.array(splits.valid.label_ids(self._names))
        half = plan.training.bfloat16

        def loss(part: list[int]) -> torch.Tensor:
            ids, mask = padded([rows[row] for row in part], self._pad)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                scores = self._model(input_ids=ids, attention_mask=mask).logits
            return nn.functional.cross_entropy(scores.float(), wanted[part])

        def accuracy() -> float:
            return float((self._logits(splits.valid.texts).argmax(-1) == valid_wanted).mean())

        run = Run(self._model, [len(row) for row in rows], loss, accuracy)
        tune(run, plan.training, state, progress, "tune the teacher")

    def teaching(
        self, splits: Splits, extra: Sequence[str], name: str, cache: Path, progress: Progress
    ) -> Teaching:
        """The classifier's word on every text, kept by digest of weights and texts."""
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        weights = [p.detach().numpy() for p in self._model.parameters()]
        digest = digest_of(self._source.digest, *weights)
        texts = {
            "train": splits.train.texts,
            "valid": splits.valid.texts,
            "test": splits.test.texts,
            "extra": tuple(extra),
        }
        order = [self._names.index(label) for label in splits.labels]
        logits = {}
        task = progress.add_task("teacher's logits", total=len(texts))
        for split, part in texts.items():
            if part:
                logits[split] = self._kept(part, cache / "logits", digest)[:, order]
            progress.advance(task)
        return Teaching(
            name=name,
            labels=splits.labels,
            digest=digest,
            parameters=parameters,
            f32_bytes=parameters * F32_BYTES,
            logits=logits,
            answer=lambda batch: self._batch(self._rows(batch))[:, order],
        )

    def _kept(self, texts: Sequence[str], folder: Path, digest: str) -> FloatArray:
        file = folder / f"{key_of(digest, self._max_tokens, list(texts))}.npy"
        if not file.is_file():
            computed = self._logits(texts)
            with writing(file) as aside, aside.open("wb") as opened:
                np.save(opened, computed, allow_pickle=False)
        kept: FloatArray = np.load(file, allow_pickle=False)
        return kept

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        return token_rows(self._tokenizer, texts, self._max_tokens)

    def _logits(self, texts: Sequence[str]) -> FloatArray:
        self._model.eval()
        rows = self._rows(texts)
        result = np.empty((len(rows), len(self._names)), dtype=np.float32)
        for part in by_length(rows, BATCH_TEXTS):
            result[part] = self._batch([rows[row] for row in part])
        return result

    def _batch(self, rows: list[list[int]]) -> FloatArray:
        ids, mask = padded(rows, self._pad)
        with torch.inference_mode():
            scores: FloatArray = self._model(input_ids=ids, attention_mask=mask).logits.numpy()
        return scores
