"""What a kept answer takes in the pipeline, and what a cache adds where it has none.

Calls with and without a cache take turns, so that both meet the same machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.inference.tasks import open_models
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.bench.results import Result, at_most, p50
from tests.bench.samples import TITLES
from tests.bench.surroundings import skip
from tests.core.redis_server import SERVER, RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CALLS_PER_ROUND = 300
HIT_US_MAX = 60
REMOTE_HIT_MS_MAX = 0.5
REMOTE_MISS_ADDED_MS_MAX = 0.6
BROKEN_ADDED_MS_MAX = 10
CONNECT_S_MAX = 20
US_PER_S, MS_PER_S = 1e6, 1e3
MODELS = ("all-minilm-l6-v2", "product-classifier")
TASKS: dict[str, tuple[Any, Callable[[str], object]]] = {
    "classify": (Classify(), lambda text: {"inputs": text, "top_k": 1}),
    "embed": (Embeddings(), lambda text: {"input": text}),
}


class Bench:
    """A pipeline with real models and one kind of cache."""

    def __init__(self, cache: str, models: dict[str, Any]) -> None:
        settings = read_settings({}, memory_mb=1024, cache=cache, workers=1, model=list(MODELS))
        meter = meter_of(read_price_book(), settings)
        self.pipeline = Pipeline(settings, models, meter, SharedTime(), Accounts(settings))
        self.cache: Any = self.pipeline.cache

    def seconds(self, task: str, text: str) -> float:
        """How long one call took, from its body to its outcome."""
        contract, asking = TASKS[task]
        body = msgspec.json.encode(asking(text))
        envelope = Envelope("attempt", deadline_after(10_000), "acme")
        started_s = time.perf_counter()
        self.pipeline.invoke(contract, body, envelope)
        return time.perf_counter() - started_s

    def connect(self) -> None:
        until_s = time.monotonic() + CONNECT_S_MAX
        while not self.cache.is_remote and time.monotonic() < until_s:
            time.sleep(0.01)

    def forget(self) -> None:
        """Leaves nothing in the process."""
        self.cache.flush(CONNECT_S_MAX)
        self.cache._memory.close()


def run(rounds: int) -> list[Result]:
    """Medians over all rounds' calls of one title each, in one thread."""
    settings = read_settings({}, memory_mb=1024, workers=1, model=list(MODELS))
    models: dict[str, Any] = {task: open_models(task, settings) for task in TASKS}
    calls, texts = rounds * CALLS_PER_ROUND, map(_title, count())
    plain, memory = Bench("off", models), Bench("memory", models)
    found = []
    for task in TASKS:
        memory.seconds(task, TITLES[0])
        hits_s = [memory.seconds(task, TITLES[0]) for _ in range(calls)]
        found.append(at_most(f"{task}: hit in process", p50(hits_s) * US_PER_S, HIT_US_MAX, "µs"))
        added_ms = _added_ms(memory, plain, task, islice(texts, calls))
        found.append(Result(f"{task}: added to a miss, in process", added_ms, unit="ms"))
    if SERVER is None:
        skip("cache in Redis", "there is no redis-server")
        return found
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(RedisServer(Path(folder) / "redis"))
        remote = Bench(server.url, models)
        remote.connect()
        for task in TASKS:
            remote.seconds(task, TITLES[0])
            hits_s = []
            for _ in range(calls):
                remote.forget()
                hits_s.append(remote.seconds(task, TITLES[0]))
            hit_ms = p50(hits_s) * MS_PER_S
            found.append(at_most(f"{task}: hit in Redis", hit_ms, REMOTE_HIT_MS_MAX, "ms"))
            added_ms = _added_ms(remote, plain, task, islice(texts, calls))
            name = f"{task}: added to a miss, Redis"
            found.append(at_most(name, added_ms, REMOTE_MISS_ADDED_MS_MAX, "ms"))
        server.freeze()
        while remote.cache.is_remote:
            remote.seconds("classify", next(texts))
        with_ms, without_ms = _taken_ms(remote, plain, "classify", islice(texts, calls))
        added_ms = _p99(with_ms) - _p99(without_ms)
        name = "classify: added to the p99 while Redis is frozen"
        found.append(at_most(name, added_ms, BROKEN_ADDED_MS_MAX, "ms"))
        remote.cache.close()
    return found


def _taken_ms(
    cached: Bench, plain: Bench, task: str, texts: Iterable[str]
) -> tuple[list[float], list[float]]:
    """What each text took with and without, asked of both for the first time.

    They take turns in coming first, because who comes second finds a tokenizer that has just met
    the text.
    """
    taken_ms: dict[Bench, list[float]] = {cached: [], plain: []}
    for turn, text in enumerate(texts):
        for bench in (cached, plain) if turn % 2 else (plain, cached):
            taken_ms[bench].append(bench.seconds(task, text) * MS_PER_S)
    return taken_ms[cached], taken_ms[plain]


def _added_ms(cached: Bench, plain: Bench, task: str, texts: Iterable[str]) -> float:
    with_ms, without_ms = _taken_ms(cached, plain, task, texts)
    return p50(with_ms) - p50(without_ms)


def _p99(samples: Sequence[float]) -> float:
    return statistics.quantiles(samples, n=100)[-1]


def _title(number: int) -> str:
    return f"{TITLES[number % len(TITLES)]} {number}"
