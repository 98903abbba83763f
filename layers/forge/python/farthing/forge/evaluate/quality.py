"""What a bundle is worth: quality, batch drift and speed, measured through `farthing.inference`.

There is no second way to run a model here: what is measured is what is served.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from farthing.forge.evaluate.timing import NS_PER_MS, elapsed_ns, time_answers
from farthing.inference.bundle import BatchDrift, Bundle
from farthing.inference.tasks import Classifier, TextModel, open_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.plans import DriftPlan

FloatArray = npt.NDArray[np.float32]

LOADS = 5
# Company of other sizes than the plan's own: what is exact in 32 need not be in two.
SMALL_BATCHES = (2, 8)
# One text in so many is drawn out by others, so that lengths of the whole window meet.
LONG_EVERY = 4
LONGEST_JOINED = 8


@dataclass(frozen=True)
class Drift:
    """How far an answer moves when its text shares a batch; fields as in the manifest."""

    texts: int
    batch: int
    labels_changed: int
    min_cosine: float
    max_abs_difference: float

    @property
    def is_zero(self) -> bool:
        """Whether texts may share a batch, by the rule of the runtime itself."""
        return BatchDrift(**asdict(self)).is_zero


@dataclass(frozen=True)
class Classification:
    """Shares of right answers, 0..1; `macro_f1` is the mean F1 of the labels, each counted once."""

    rows: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class Likeness:
    """Cosines between a bundle's vectors and the reference's."""

    rows: int
    mean: float
    min: float


@dataclass(frozen=True)
class Speed:
    """Medians in milliseconds on `threads` threads; `batch_ms_per_text` is for 32 texts at once.

    `load_ms` is the time from the verified files to a model that can answer.
    """

    threads: int
    one_text_ms: float
    batch_ms_per_text: float
    load_ms: float


def open_model(folder: Path, threads: int) -> TextModel:
    """The bundle in `folder`, digests checked, ready to answer."""
    return open_task(Bundle.open(folder), threads=threads)


def answers(model: TextModel, texts: Sequence[str], batch_texts: int | None = None) -> FloatArray:
    """Probabilities or vectors, [texts, dims]; `batch_texts` None keeps the bundle's own policy."""
    return model.compute(model.prepare(texts), batch_texts=batch_texts)


def classification(model: TextModel, rows: LabelledSet) -> Classification:
    """Accuracy and macro F1 on labelled rows.

    :raises ValueError: if a row's label is none of the bundle's.
    """
    names = model.manifest.labels
    wanted = np.array(rows.label_ids(names))
    given = answers(model, rows.texts).argmax(axis=1)
    scores = []
    for number in sorted(set(wanted.tolist())):
        hits = int(((given == number) & (wanted == number)).sum())
        scores.append(2 * hits / int((given == number).sum() + (wanted == number).sum()))
    return Classification(
        rows=len(rows),
        accuracy=float((given == wanted).mean()),
        macro_f1=float(statistics.fmean(scores)),
    )


def likeness(model: TextModel, reference: TextModel, texts: Sequence[str]) -> Likeness:
    """Cosines of the two bundles' vectors for the same texts."""
    return likeness_of(answers(model, texts), answers(reference, texts))


def likeness_of(vectors: FloatArray, reference: FloatArray) -> Likeness:
    """Cosines of two vectors for each text, both [texts, dims]."""
    cosines = row_cosines(vectors, reference)
    return Likeness(rows=len(cosines), mean=float(cosines.mean()), min=float(cosines.min()))


def drift(model: TextModel, texts: Sequence[str], plan: DriftPlan) -> Drift:
    """Texts drawn at random, each alone and again among others of them: one, seven, and
    `plan.batch - 1`. The largest difference of all is told.

    They are not sorted by length: neighbours of any length are what a server sees.
    """
    generator = np.random.default_rng(plan.seed)
    order = generator.permutation(len(texts))[: plan.texts]
    chosen = [texts[at] for at in order]
    for at in range(0, len(chosen), LONG_EVERY):
        joined = int(generator.integers(2, LONGEST_JOINED + 1))
        chosen[at] = " ".join(texts[one] for one in generator.integers(0, len(texts), joined))
    alone = answers(model, chosen, batch_texts=1)
    changed = np.zeros(len(chosen), np.bool_)
    cosine, difference = 1.0, 0.0
    for size in sorted({*SMALL_BATCHES, plan.batch}):
        beside = _beside(model, chosen, size, generator)
        if isinstance(model, Classifier):
            changed |= alone.argmax(axis=1) != beside.argmax(axis=1)
        cosine = min(cosine, float(row_cosines(alone, beside).min()))
        difference = max(difference, float(np.abs(alone - beside).max()))
    return Drift(
        texts=len(chosen),
        batch=plan.batch,
        labels_changed=int(changed.sum()),
        min_cosine=cosine,
        max_abs_difference=difference,
    )


def speed(folder: Path, texts: Sequence[str], threads: int, runs: int = 300) -> Speed:
    """Latency of one text, of a text among 32, and of loading.

    Texts are drawn evenly over `texts`; the 32 come as they are, padded to the longest.
    """
    bundle = Bundle.open(folder)
    loads_ns = [elapsed_ns(lambda _: open_task(bundle, threads), texts) for _ in range(LOADS)]
    model = open_task(bundle, threads)
    times = time_answers(together(model), texts, threads=threads, runs=runs)
    return Speed(
        threads=threads,
        one_text_ms=times.one_text_p50_ms,
        batch_ms_per_text=times.batch_ms_per_text,
        load_ms=statistics.median(loads_ns) / NS_PER_MS,
    )


def together(model: TextModel) -> Callable[[Sequence[str]], FloatArray]:
    """Answers all texts of a call as one batch, whatever the bundle's own policy."""
    return lambda texts: answers(model, texts, batch_texts=len(texts))


def row_cosines(left: FloatArray, right: FloatArray) -> npt.NDArray[np.float64]:
    """Cosine of each pair of rows, in float64 so that equal rows give 1 to twelve digits."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: npt.NDArray[np.float64] = (a * b).sum(axis=1) / norms
    return result


def rounded(measured: Drift | Classification | Likeness | Speed) -> dict[str, float | int]:
    """The fields with six decimals, as manifests and tables show them; with three digits where
    there would be none left, since what is not 0 must not be told as 0.
    """
    return {
        key: round(value, 6) or float(f"{value:.3g}") if isinstance(value, float) else value
        for key, value in asdict(measured).items()
    }


def _beside(
    model: TextModel, texts: Sequence[str], size: int, generator: np.random.Generator
) -> FloatArray:
    """Answers to the texts, in their order, each given in a random batch of `size`."""
    rows = np.empty((len(texts), model.dims), np.float32)
    order = generator.permutation(len(texts))
    for start in range(0, len(texts), size):
        part = order[start : start + size]
        rows[part] = answers(model, [texts[at] for at in part], batch_texts=len(part))
    return rows
