"""Measuring a teacher: the same numbers for what is no bundle, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.forge.evaluate.price import Pricing, price_calls
from farthing.forge.evaluate.report import Report, cautions
from farthing.forge.evaluate.scores import Scores, named, score
from farthing.forge.evaluate.timing import time_answers
from farthing.inference.heads import softmax

if TYPE_CHECKING:
    from farthing.forge.data.labelled import LabelledSet
    from farthing.forge.teach.teaching import Teaching

# A teacher may take a hundred times as long as a bundle.
RUNS = 30


def evaluate_teacher(
    teaching: Teaching,
    split: str,
    rows: LabelledSet,
    *,
    pricing: Pricing,
    out_of_scope: str = "",
    threads: int = 1,
    cold_ms: float | None = None,
    peak_rss_mb: float | None = None,
) -> Report:
    """The report on a teacher: its logits for `split`, whose rows are `rows`, and its speed here.

    :param threads: how many threads `teaching.answer` uses, as its framework was told before.
    :param cold_ms: what its cold start takes, if known; then a million of them has a price.
    :param peak_rss_mb: the resident set of a process that serves it; without it, the memory
        that was asked for is taken to suffice.
    """
    scores = score_teacher(teaching, split, rows, out_of_scope)
    times = time_answers(teaching.answer, rows.texts, threads=threads, runs=RUNS)
    price = price_calls(
        times.one_text_ns, pricing, threads=threads, peak_rss_mb=peak_rss_mb, cold_ms=cold_ms
    )
    return Report(
        name=teaching.name,
        digest=teaching.digest,
        task="classify",
        quantisation="float32",
        bytes=teaching.f32_bytes,
        parameters=teaching.parameters,
        scores=scores,
        likeness=None,
        drift=None,
        unknown_token_share=None,
        times=times,
        start=None,
        price=price,
        warnings=tuple(cautions(price, scores)),
    )


def score_teacher(
    teaching: Teaching, split: str, rows: LabelledSet, out_of_scope: str = ""
) -> Scores:
    """The teacher's own scores on `rows`, which are its `split`."""
    logits = teaching.logits[split]
    given = named(logits, teaching.labels).tolist()
    return score(
        softmax(logits), teaching.labels, rows, out_of_scope=out_of_scope, teacher_answers=given
    )
