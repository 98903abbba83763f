"""Whose time it is where calls share runs: it adds up to what passed, to the nanosecond."""

from __future__ import annotations

import random
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.errors import CallerGone
from farthing.inference.batcher.gatherer import Gatherer
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.outcome import Outcome
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.caching import wait_until
from tests.inference.gathered import AMPLE_MS, PATIENCE_S, POISON, Clock, WordModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLERS, CALLS = 8, 60
CLASSIFY = Classify()


class Readings:
    """A clock with its first and its latest reading kept."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self.first_ns = self.latest_ns = clock_ns()

    def __call__(self) -> int:
        self.latest_ns = self._clock_ns()
        return self.latest_ns


class Labelled(WordModel):
    """The small model as a classifier of two labels."""

    task, labels = "classify", ("length", "sum")


class Counter:
    """A pipeline whose calls share runs, and the outcomes of all of them."""

    def __init__(
        self, model: Any, threads: int = 2, clock_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        settings = read_settings({}, memory_mb=1024, arch="x86_64", platform="knative")
        self.clock = Readings(clock_ns)
        self.shared = SharedTime(self.clock)
        meter = meter_of(read_price_book(), settings)
        models = {"classify": [model]}
        self.pipeline = Pipeline(settings, models, meter, self.shared, Accounts(settings))
        self.batcher = Gatherer(threads, AMPLE_MS)
        self.pipeline.batcher = self.batcher
        self.outcomes: list[Outcome] = []
        # The clock's first reading is the shared time's.
        self.clock.first_ns = self.clock.latest_ns

    def call(self, generator: random.Random, texts: list[str], *, leaves: bool) -> None:
        envelope = Envelope("attempt", deadline_after(AMPLE_MS), generator.choice("abc"))
        if not leaves:
            self.outcomes.append(self.pipeline.invoke(CLASSIFY, {"inputs": texts}, envelope))
            return
        call = self.pipeline.begin(CLASSIFY, {"inputs": texts}, envelope)
        assert not isinstance(call, Outcome)
        told: SimpleQueue[Outcome] = SimpleQueue()
        ticket = self.pipeline.submit(call, told.put)
        assert not isinstance(ticket, Outcome)
        time.sleep(generator.random() / 500)
        gone = CallerGone("The caller left.")
        is_left = ticket.cancel()
        self.outcomes.append(self.pipeline.fail(call, gone) if is_left else told.get())

    def storm(self, choices: list[str]) -> None:
        def caller(seed: int) -> None:
            generator = random.Random(seed)
            for _ in range(CALLS):
                texts = generator.choices(choices, k=generator.choice((1, 1, 1, 3, 12)))
                self.call(generator, texts, leaves=generator.random() < 0.1)
                if generator.random() < 0.05:
                    time.sleep(0.002)

        threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.batcher.close()


def test_busy_time_of_all_calls_and_idle_time_are_the_time_that_passed(models_dir: Path) -> None:
    counter = Counter(open_task(Bundle.open(models_dir / "product-classifier")))
    time.sleep(0.01)
    counter.storm([f"samsung galaxy s{number} {'phone ' * (number % 9)}" for number in range(60)])
    idle_ns = counter.shared.take_idle_ns()
    busy_ns = [outcome.usage.busy_ns for outcome in counter.outcomes]
    assert len(busy_ns) == CALLERS * CALLS
    assert sum(busy_ns) + idle_ns == counter.clock.latest_ns - counter.clock.first_ns
    assert idle_ns >= 10_000_000
    assert {outcome.status for outcome in counter.outcomes} == {200, 499}


def test_failures_and_callers_who_leave_take_no_time_from_the_sum() -> None:
    model = Labelled(batch_ids_max=64)
    model.takes_s = 0.0005
    counter = Counter(model)
    counter.storm(["a", "bb" * 8, "ccc" * 5, POISON])
    idle_ns = counter.shared.take_idle_ns()
    busy_ns = sum(outcome.usage.busy_ns for outcome in counter.outcomes)
    assert busy_ns + idle_ns == counter.clock.latest_ns - counter.clock.first_ns
    assert {outcome.status for outcome in counter.outcomes} == {200, 499, 500}
    refused = [outcome for outcome in counter.outcomes if outcome.status != 200]
    assert {outcome.booked_to for outcome in refused} == {"house"}


def test_calls_in_one_run_pay_by_their_tokens() -> None:
    model, clock = Labelled(), Clock()
    counter = Counter(model, threads=1, clock_ns=clock.perf_counter_ns)
    model.sleep = clock.sleep
    model.is_open.clear()
    texts = ["hold", "x" * 60, "y" * 30]
    threads = [
        threading.Thread(
            target=counter.call, args=(random.Random(1), [text]), kwargs={"leaves": False}
        )
        for text in texts
    ]
    threads[0].start()
    assert model.has_begun.acquire(timeout=PATIENCE_S)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(waiting(counter.batcher)) == 2)
    model.takes_s = 0.3
    model.is_open.set()
    for thread in threads:
        thread.join()
    counter.batcher.close()
    by_tokens = {outcome.usage.prompt_tokens: outcome.usage.busy_ns for outcome in counter.outcomes}
    assert model.runs == [["hold"], ["x" * 60, "y" * 30]]
    # Time passes in runs only: 300 ms alone, then 300 ms in the parts 2 and 1.
    assert by_tokens == {4: 300_000_000, 60: 200_000_000, 30: 100_000_000}


def waiting(batcher: Gatherer) -> list[Any]:
    return [entry for flow in list(batcher._high.flows.values()) for entry in flow.entries]
