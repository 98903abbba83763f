"""Measuring a bundle: through `farthing.inference`, as it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from farthing.forge.evaluate import quality
from farthing.forge.evaluate.errors import Unmeasurable
from farthing.forge.evaluate.parameters import count_parameters
from farthing.forge.evaluate.price import Pricing, price_calls
from farthing.forge.evaluate.report import Report, cautions
from farthing.forge.evaluate.scores import Scores, named, score
from farthing.forge.evaluate.start import measure_start
from farthing.forge.evaluate.timing import Times, time_answers, time_side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.plans import DriftPlan
    from farthing.inference.tasks import TextModel

FloatArray = npt.NDArray[np.float32]
RUNS = 300
STARTS = 5


class Effort(NamedTuple):
    """How much is measured: texts whose time is taken, and cold starts, on so many threads."""

    threads: int
    runs: int
    starts: int


def evaluate(
    folder: Path,
    test: LabelledSet,
    *,
    drift: DriftPlan,
    pricing: Pricing,
    teacher_logits: FloatArray | None = None,
    labels: Sequence[str] = (),
    out_of_scope: str = "",
    threads: int = 1,
    runs: int = RUNS,
    starts: int = STARTS,
    times: Times | None = None,
) -> Report:
    """The report on the classifier in `folder`.

    :param teacher_logits: what the teacher says of the same rows, [rows, labels].
    :param labels: the columns of `teacher_logits`, in order.
    :param out_of_scope: the label of texts that belong to none; its recall is told apart.
    :param runs: texts whose time is measured; `starts` are the cold starts.
    :param times: what was measured side by side with other models; None to measure it alone.
    :raises Unmeasurable: if the bundle is no classifier or the rows do not suit it.
    """
    model = quality.open_model(folder, threads)
    scores = score_model(
        model, test, out_of_scope=out_of_scope, teacher_logits=teacher_logits, labels=labels
    )
    effort = Effort(threads, runs, starts)
    return _report(model, test.texts, drift, pricing, effort, scores=scores, times=times)


def score_model(
    model: TextModel,
    rows: LabelledSet,
    *,
    out_of_scope: str = "",
    teacher_logits: FloatArray | None = None,
    labels: Sequence[str] = (),
) -> Scores:
    """The classifier's scores on `rows`, and nothing else; parameters as of `evaluate`.

    :raises Unmeasurable: as `evaluate`.
    """
    if model.task != "classify":
        raise Unmeasurable(
            f"The bundle {model.name} is for the task {model.task} and has no accuracy. "
            "Compare its vectors with those of a reference instead."
        )
    return score(
        quality.answers(model, rows.texts),
        model.labels,
        rows,
        out_of_scope=out_of_scope,
        teacher_answers=None if teacher_logits is None else named(teacher_logits, labels).tolist(),
    )


def evaluate_embedder(
    folder: Path,
    texts: Sequence[str],
    reference: FloatArray,
    *,
    drift: DriftPlan,
    pricing: Pricing,
    threads: int = 1,
    runs: int = RUNS,
    starts: int = STARTS,
) -> Report:
    """The report on the embedder in `folder`, beside the vectors [texts, dims] of a reference.

    :raises Unmeasurable: if the bundle makes no vectors, or `reference` has another shape.
    """
    model = quality.open_model(folder, threads)
    wanted = (len(texts), model.dims)
    if model.task != "embed" or reference.shape != wanted:
        raise Unmeasurable(
            f"Vectors of the bundle {model.name} (task {model.task}, {model.dims} dimensions) were "
            f"to be compared with a reference of shape {reference.shape} on {len(texts)} texts. "
            f"An embedder and a reference of shape {wanted} are needed."
        )
    likeness = quality.likeness_of(quality.answers(model, texts), reference)
    effort = Effort(threads, runs, starts)
    return _report(model, texts, drift, pricing, effort, likeness=likeness)


def side_by_side(
    folders: Mapping[str, Path], texts: Sequence[str], *, threads: int, runs: int
) -> dict[str, Times]:
    """Every bundle's times on the same texts, taken by turns, by the keys of `folders`."""
    answers = [quality.together(quality.open_model(path, threads)) for path in folders.values()]
    times = time_side_by_side(answers, texts, threads=threads, runs=runs)
    return dict(zip(folders, times, strict=True))


def _report(
    model: TextModel,
    texts: Sequence[str],
    plan: DriftPlan,
    pricing: Pricing,
    effort: Effort,
    *,
    scores: Scores | None = None,
    likeness: quality.Likeness | None = None,
    times: Times | None = None,
) -> Report:
    threads, runs, starts = effort
    bundle = model.bundle
    if times is None:
        times = time_answers(quality.together(model), texts, threads=threads, runs=runs)
    start = measure_start(bundle.path, texts, threads=threads, starts=starts)
    price = price_calls(times.one_text_ns, pricing, threads=threads, start=start)
    unknown_share = model.unknown_share(texts)
    found = quality.drift(model, texts, plan)
    scheme = bundle.manifest.quantisation
    return Report(
        name=model.name,
        digest=bundle.digest,
        task=model.task,
        quantisation=" ".join(f"{scheme[key]}" for key in ("scheme", "bits") if key in scheme),
        bytes=bundle.size_bytes,
        parameters=count_parameters(bundle.model_file),
        scores=scores,
        likeness=likeness,
        drift=found,
        unknown_token_share=unknown_share,
        times=times,
        start=start,
        price=price,
        warnings=tuple(cautions(price, scores, found, unknown_share, start)),
    )
