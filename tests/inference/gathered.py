"""A small real model whose runs a test can hold up and read, callers of a batcher, and a clock."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from farthing.billing.shares import SharedTime
from farthing.inference.batcher import door, gatherer
from farthing.inference.tasks import Prepared
from farthing.serving.ports import Computation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from farthing.inference.batcher.gatherer import Gatherer
    from farthing.serving.ports import Ticket

# A batcher takes a machine that stopped during a run for a slow one, and refuses what would take
# that too long. Tests of anything else leave it all the time there is.
AMPLE_MS = 1_000_000_000
AMPLE_NS = AMPLE_MS * 1_000_000
# How long a test waits for what should come at once.
PATIENCE_S = 300
POISON = "poison"


class Clock:
    """Stands where a module has `time`, and moves by what is slept."""

    def __init__(self) -> None:
        self.now_ns = time.perf_counter_ns()

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def replace_the_batchers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on a batcher, its callers' deadlines and how long a model takes go by it."""
        for module in (door, gatherer, sys.modules[__name__]):
            monkeypatch.setattr(module, "time", self)


class Word(NamedTuple):
    ids: str
    was_truncated: bool = False

    @property
    def tokens(self) -> int:
        return len(self.ids)


def row_of(text: str) -> list[float]:
    return [len(text), sum(map(ord, text)) % 1009]


class WordModel:
    """Answers a text with its length and the sum of its letters."""

    name, task, dims, labels, digest = "words", "embed", 2, (), "d" * 64

    def __init__(self, sharing: str = "padded", batch_ids_max: int = 512) -> None:
        self.sharing = sharing
        self.batch_ids_max = batch_ids_max
        self.runs: list[list[str]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.has_begun = threading.Semaphore(0)
        self.takes_s = 0.0
        self.sleep = time.sleep

    def prepare(self, texts: Sequence[str]) -> Prepared:
        words = [Word(text) for text in texts]
        return Prepared(words, sum(word.tokens for word in words), 0)

    def run(self, words: Sequence[Word]) -> np.ndarray:
        self.runs.append([word.ids for word in words])
        self.has_begun.release()
        assert self.is_open.wait(PATIENCE_S)
        self.sleep(self.takes_s)
        if any(word.ids == POISON for word in words):
            raise ArithmeticError
        return np.array([row_of(word.ids) for word in words], np.float32)

    def compute(self, work: Prepared, *, before_batch: Any = None) -> np.ndarray:
        return self.run(work.texts)

    @property
    def texts(self) -> list[str]:
        """All that was run, in order."""
        return [text for run in self.runs for text in run]


class Caller:
    """One call's end: what it was told, how often, and when in the order of all."""

    ended: int = 0

    def __init__(self) -> None:
        self.told: list[tuple[Any, BaseException | None]] = []
        self.is_told = threading.Event()
        self.ticket: Ticket
        self.place = 0

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.told.append((result, error))
        Caller.ended += 1
        self.place = Caller.ended
        self.is_told.set()

    def result(self) -> Any:
        assert self.is_told.wait(PATIENCE_S), "the call was told nothing"
        ((result, error),) = self.told
        if error is not None:
            raise error
        return result


SHARED = SharedTime()


def ask(
    batcher: Gatherer,
    model: Any,
    texts: Sequence[str],
    *,
    tenant: str = "tenant",
    left_ns: int = AMPLE_NS,
    keys: Sequence[bytes] = (),
    is_low: bool = False,
) -> Caller:
    """A call under way. Raises as `submit`."""
    caller = Caller()
    deadline_ns = time.perf_counter_ns() + left_ns
    asked = Computation(
        model, model.prepare(texts), no_guard, SHARED.enter(), tenant, deadline_ns, keys, is_low
    )
    caller.ticket = batcher.submit(asked, caller)
    return caller


def held(batcher: Gatherer, model: WordModel) -> Caller:
    """A call that keeps the only thread until the model's gate opens."""
    model.is_open.clear()
    model.has_begun = threading.Semaphore(0)
    first = ask(batcher, model, ["hold"], tenant="holder")
    assert model.has_begun.acquire(timeout=PATIENCE_S)
    return first


def no_guard(tokens: int) -> None:
    """Stops nothing."""
