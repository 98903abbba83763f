"""The batcher by itself, without HTTP: what it adds to one call, and what it gains from many.

Callers in closed loops ask for the vectors of random titles. Beside them, in the same rounds, stand
bare threads, as many as compute, that run batches of the size that the batcher came to: what the
machine gives with nothing around it.
"""

from __future__ import annotations

import gzip
import random
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from farthing.billing.shares import SharedTime
from farthing.inference.batcher.gatherer import Gatherer
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from farthing.serving.ports import Computation
from tests.bench.results import Result, at_least, at_most, p50

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.inference.tasks import TextModel

ROOT = Path(__file__).parents[2]
THREADS = 2
CALLERS = (1, 8, 32)
SECONDS = 1.0
ALONE_CALLS = 150
PRESENT = (1, 8, 32, 200)
EVENTS = 20_000
LEAST_OF_BARE = 0.6
ADDED_MAX_MS = 0.15
MINUTE_NS = 60 * 1_000_000_000


class Counting:
    """A model whose runs are counted."""

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self.sharing, self.batch_ids_max = model.sharing, model.batch_ids_max
        self.runs: list[int] = []

    def run(self, texts: Sequence[Any]) -> Any:
        self.runs.append(len(texts))
        return self._model.run(texts)


class Asking:
    """Calls of one text each, through a batcher or where they are made."""

    def __init__(self, model: TextModel, texts: Sequence[str]) -> None:
        self._model = model
        self._texts = texts
        self._shared = SharedTime()

    def in_place(self, text: str) -> None:
        self._model.compute(self._model.prepare([text]))

    def through(self, batcher: Gatherer, answerer: Any, text: str) -> None:
        share = self._shared.enter()
        ended: SimpleQueue[BaseException | None] = SimpleQueue()
        work = self._model.prepare([text])
        deadline_ns = time.perf_counter_ns() + MINUTE_NS
        asked = Computation(answerer, work, _no_guard, share, "tenant", deadline_ns)
        batcher.submit(asked, lambda result, error: ended.put(error))
        error = ended.get()
        share.leave()
        if error is not None:
            raise error

    def alone(self) -> tuple[list[float], list[float]]:
        """Milliseconds of calls that come singly: in place, and through a batcher."""
        batcher = Gatherer(THREADS, 1000)
        in_place, through = [], []
        for text in random.choices(self._texts, k=ALONE_CALLS):
            in_place.append(_timed_ms(lambda text=text: self.in_place(text)))
            through.append(_timed_ms(lambda text=text: self.through(batcher, self._model, text)))
        batcher.close()
        return in_place, through

    def loops(self, callers: int) -> tuple[float, list[float], float]:
        """Texts a second of so many closed loops, their milliseconds, and texts in a run."""
        batcher, counting = Gatherer(THREADS, 60_000), Counting(self._model)
        times_ms: list[float] = []

        def one(generator: random.Random) -> None:
            text = generator.choice(self._texts)
            times_ms.append(_timed_ms(lambda: self.through(batcher, counting, text)))

        rate = _rate(one, callers)
        batcher.close()
        return rate, times_ms, sum(counting.runs) / len(counting.runs)

    def bare(self, batch: int) -> float:
        """Texts a second of bare threads that run batches of so many."""

        def one(generator: random.Random) -> None:
            work = self._model.prepare(generator.choices(self._texts, k=batch))
            self._model.run(work.texts)

        return batch * _rate(one, THREADS)


def run(rounds: int) -> list[Result]:
    model = open_task(Bundle.open(ROOT / "layers" / "models" / "all-minilm-l6-v2"))
    asking = Asking(model, _titles())
    in_place, through = zip(*(asking.alone() for _ in range(rounds)), strict=True)
    added_ms = p50([p50(b) - p50(a) for a, b in zip(in_place, through, strict=True)])
    figures = [at_most("one call alone: p50 added by the batcher", added_ms, ADDED_MAX_MS, "ms")]
    for callers in CALLERS:
        figures += _loops(asking, callers, rounds)
    return figures + [_event(present) for present in PRESENT]


def _titles() -> list[str]:
    sample = ROOT / "tests" / "data" / "pricerunner-sample.tsv.gz"
    with gzip.open(sample, "rt", encoding="utf-8") as rows:
        return [row.split("\t")[1] for row in rows][1:]


def _loops(asking: Asking, callers: int, rounds: int) -> list[Result]:
    rates, bare, sizes = [], [], []
    times_ms: list[float] = []
    for _ in range(rounds):
        rate, took_ms, size = asking.loops(callers)
        rates.append(rate)
        times_ms += took_ms
        sizes.append(size)
        bare.append(asking.bare(max(1, round(size))))
    ratio = p50([ours / limit for ours, limit in zip(rates, bare, strict=True)])
    # One caller keeps one thread, and two bare ones do twice its work.
    least = LEAST_OF_BARE if callers > 1 else LEAST_OF_BARE / THREADS
    name = f"{callers} callers"
    cuts = quantiles(times_ms, n=100)
    return [
        Result(f"{name}: texts/s, ours and bare threads'", p50(rates), p50(bare), ratio, "/s"),
        at_least(f"{name}: of the bare threads'", ratio, least, "×"),
        Result(f"{name}: texts in a run", p50(sizes)),
        Result(f"{name}: p50", cuts[49], unit="ms"),
        Result(f"{name}: p99", cuts[98], unit="ms"),
    ]


def _event(present: int) -> Result:
    """What an event of shared time takes beside so many others."""
    shared = SharedTime()
    others = [shared.enter() for _ in range(present)]
    for share in others[1:]:
        share.begin(10)
    started_ns = time.perf_counter_ns()
    for _ in range(EVENTS):
        others[0].begin(10)
        others[0].end(10)
    each_us = (time.perf_counter_ns() - started_ns) / EVENTS / 2000
    return Result(f"an event of shared time beside {present} present", each_us, unit="µs")


def _rate(one: Callable[[random.Random], None], threads: int) -> float:
    """How often a second so many threads together do it."""
    done = [0] * threads
    ends = time.perf_counter() + SECONDS

    def loop(number: int) -> None:
        generator = random.Random()
        while time.perf_counter() < ends:
            one(generator)
            done[number] += 1

    running = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(done) / SECONDS


def _timed_ms(work: Callable[[], None]) -> float:
    started_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - started_ns) / 1_000_000


def _no_guard(tokens: int) -> None:
    """Nothing stops a benchmark."""
