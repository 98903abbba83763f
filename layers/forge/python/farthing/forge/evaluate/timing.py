"""How long an answer takes, alone and among others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from farthing.forge.evaluate.errors import Unmeasurable

Answer = Callable[[Sequence[str]], object]

NS_PER_MS = 1_000_000
BATCH = 32
RUNS_PER_BATCH = 30
WARM_UPS = 20
PASSES = 7
TURN = 10


class Times(msgspec.Struct, frozen=True):
    """Warm times on `threads` threads; percentiles run over texts, short ones and long ones.

    A text's time is the shortest of seven passes over all of them: what is longer was the machine
    doing something else besides. `batch_ms_per_text` is for 32 texts at once. `one_text_ns` has
    every text's time, in nanoseconds.
    """

    threads: int
    texts: int
    one_text_p50_ms: float
    one_text_p95_ms: float
    batch_ms_per_text: float
    one_text_ns: tuple[int, ...]


def time_answers(answer: Answer, texts: Sequence[str], *, threads: int, runs: int) -> Times:
    """Times `answer` on `runs` texts alone, and on a batch of 32 for every 30 of these.

    :param answer: computes all texts it is given as one batch.
    :raises Unmeasurable: if there is no text.
    """
    (times,) = time_side_by_side([answer], texts, threads=threads, runs=runs)
    return times


def time_side_by_side(
    answers: Sequence[Answer],
    texts: Sequence[str],
    *,
    threads: int,
    runs: int,
) -> list[Times]:
    """The times of several models on the same texts, taken by turns.

    Each turn is a few texts long, so a busy moment of the machine slows all models and none is
    dearer for having been measured in it.

    :raises Unmeasurable: if there is no text.
    """
    alone = [[text] for text in drawn(texts, runs)]
    pool = drawn(texts, max(1, runs // RUNS_PER_BATCH) * BATCH)
    batches = [pool[at : at + BATCH] for at in range(0, len(pool), BATCH)]
    for answer in answers:
        for text in alone[:WARM_UPS]:
            answer(text)
    ones_ns = _shortest_ns(answers, alone, TURN)
    batches_ns = _shortest_ns(answers, batches, 1)
    return [_times(threads, ones, many) for ones, many in zip(ones_ns, batches_ns, strict=True)]


def drawn(texts: Sequence[str], count: int) -> list[str]:
    """`count` texts, evenly over all and then shuffled; texts repeat where there are fewer.

    :raises Unmeasurable: if there is no text.
    """
    if not texts:
        raise Unmeasurable(
            "A time was to be measured, but there is no text to answer. Give at least one row."
        )
    pool = [texts[at * len(texts) // count] for at in range(count)]
    np.random.default_rng(0).shuffle(pool)
    return pool


def elapsed_ns(answer: Answer, texts: Sequence[str]) -> int:
    """Nanoseconds that one call takes."""
    start = time.perf_counter_ns()
    answer(texts)
    return time.perf_counter_ns() - start


def _shortest_ns(
    answers: Sequence[Answer], calls: Sequence[Sequence[str]], turn: int
) -> list[tuple[int, ...]]:
    """For each model the shortest time of each call, over the passes.

    A turn is short enough that the machine treats neighbours alike, and long enough that a
    model's weights are read from caches; the calls at its beginning are others in each pass.
    """
    random = np.random.default_rng(0)
    shortest: list[dict[int, int]] = [{} for _ in answers]
    for _ in range(PASSES):
        order = random.permutation(len(calls)).tolist()
        for start in range(0, len(order), turn):
            for answer, found in zip(answers, shortest, strict=True):
                for at in order[start : start + turn]:
                    taken_ns = elapsed_ns(answer, calls[at])
                    found[at] = min(taken_ns, found.get(at, taken_ns))
    return [tuple(found[at] for at in range(len(calls))) for found in shortest]


def _times(threads: int, ones_ns: tuple[int, ...], batches_ns: tuple[int, ...]) -> Times:
    p50_ns, p95_ns = np.percentile(ones_ns, [50, 95])
    return Times(
        threads=threads,
        texts=len(ones_ns),
        one_text_p50_ms=float(p50_ns) / NS_PER_MS,
        one_text_p95_ms=float(p95_ns) / NS_PER_MS,
        batch_ms_per_text=statistics.median(batches_ns) / BATCH / NS_PER_MS,
        one_text_ns=ones_ns,
    )
