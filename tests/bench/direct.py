"""What Farthing adds to a warm direct invocation: handler against bare model, call by call."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from farthing.inference.heads import mean_pool, softmax, unit_length
from tests.bench.results import Result, compared, p50
from tests.bench.samples import TITLES, LambdaContext
from tests.bench.surroundings import LAMBDA, bundles, environ, skip

if TYPE_CHECKING:
    from collections.abc import Callable

OVERHEAD_MS_MAX = 0.25
CALLS_PER_ROUND = 200
WARM_UP_CALLS = 50
NS_PER_MS = 1e6


def run(rounds: int) -> list[Result]:
    """One result per function: the p50 of both, and in `ours` of the second line the difference."""
    results = []
    for function, field in (("embed", "input"), ("classify", "inputs")):
        if not bundles(function):
            skip(f"direct {function}", "there is no bundle for it")
            continue
        results += _function(function, field, rounds)
    return results


def _function(function: str, field: str, rounds: int) -> list[Result]:
    with environ(LAMBDA):
        entry = import_module(f"functions.{function}.app")
    context = LambdaContext()
    # The same loaded session for both: a second copy of the weights would fight over the cache.
    model = entry.app.service.pipeline.models[0]
    raw = _raw(model)

    def ours(text: str) -> Any:
        return entry.handler({field: text}, context)

    answer = ours(TITLES[0])
    if "charge" not in answer:
        raise RuntimeError(f"functions.{function} refuses a direct invocation: {answer}")
    ours_ms, raw_ms = _interleaved((ours, raw), rounds * CALLS_PER_ROUND)
    added_ms = p50(ours_ms) - p50(raw_ms)
    return [
        compared(
            f"{function}: handler, against tokenizer + session + head",
            p50(ours_ms),
            p50(raw_ms),
            "ms p50",
        ),
        Result(
            f"{function}: added by Farthing",
            added_ms,
            unit="ms p50",
            target=f"≤ {OVERHEAD_MS_MAX} ms",
            met=added_ms <= OVERHEAD_MS_MAX,
        ),
    ]


def _raw(model: Any) -> Callable[[str], Any]:
    """The least that gives the same numbers: no checks, no counting, no price, no JSON shape."""
    encode, inputs, run = model._encoder.encode, model._encoder.inputs, model._session.run
    if model.task == "classify":

        def classify(text: str) -> Any:
            return softmax(run(inputs(encode([text]))))

        return classify

    def embed(text: str) -> Any:
        given = inputs(encode([text]))
        return unit_length(mean_pool(run(given), given["attention_mask"]))

    return embed


def _interleaved(contestants: tuple[Callable[[str], Any], ...], calls: int) -> list[list[float]]:
    """Milliseconds of each contestant's calls, taken in turns.

    Who comes first changes with every text: the second finds the text's length just practised.
    """
    samples: list[list[float]] = [[] for _ in contestants]
    for call in range(WARM_UP_CALLS + calls):
        text = TITLES[call // 2 % len(TITLES)]
        order = range(len(contestants)) if call % 2 else reversed(range(len(contestants)))
        for place in order:
            started_ns = time.perf_counter_ns()
            contestants[place](text)
            samples[place].append((time.perf_counter_ns() - started_ns) / NS_PER_MS)
    return [taken_ms[WARM_UP_CALLS:] for taken_ms in samples]
