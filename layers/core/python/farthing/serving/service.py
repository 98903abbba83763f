"""One process's service: its models, its pipeline and its ASGI application."""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.serving.accounts import Accounts
from farthing.serving.lag import Lag
from farthing.serving.limits import read_request
from farthing.serving.pipeline import Pipeline
from farthing.serving.platforms import LocalPlatform
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from farthing.serving.http import App
    from farthing.serving.keys import KeyRing
    from farthing.serving.platforms import Platform
    from farthing.serving.ports import Answerer, Contract
    from farthing.settings import Settings

BATCHER_MODULE = "farthing.inference.batcher"
# How long what was computed last may take to reach a cache elsewhere.
CACHE_FLUSH_S = 1.0
WARM_UP_TEXT = "A text that every model can read."


class Service:
    """Loaded and able to answer from the moment it exists.

    Raises `StartupError` where settings, price book or bundles do not allow that.
    """

    def __init__(self, functions: Sequence[str], settings: Settings) -> None:
        started_ns = time.perf_counter_ns()
        self.settings = settings
        self.keys = _key_ring(settings)
        self.accounts = Accounts(settings)
        meter = meter_of(read_price_book(), settings)
        chosen = [FUNCTIONS[name] for name in functions]
        self.contracts: list[Contract] = [
            contract for function in chosen for contract in function.contracts
        ]
        loaders = [getattr(import_module(one.loader_module), one.loader_name) for one in chosen]
        # The first lease is asked for while models are read and built, which leaves a thread time;
        # imports would not.
        self.accounts.prefetch(meter)
        models: dict[str, list[Answerer]] = {}
        for function, load in zip(chosen, loaders, strict=True):
            for answerer in load(function.contract.task, settings):
                models.setdefault(answerer.task, []).append(answerer)
        self.pipeline = Pipeline(settings, models, meter, SharedTime(), self.accounts)
        self.platform = _platform(settings)
        self.is_ready = False
        self.load_ns = time.perf_counter_ns() - started_ns
        # The threads on which a server waits for others; without an event loop there are none.
        self.workers: Executor | None = None
        # Calls that are on one of these threads on their way to be computed, or wait for one.
        self.beginning = 0
        # When calls were last refused for want of room, and some time more.
        self.pressed_until_ns = 0
        self.lag = Lag()
        # What else this process does; it must end before budgets and entries are handed over.
        self.before_stop: list[Callable[[], None]] = []
        self._app: App | None = None

    @property
    def app(self) -> App:
        """The ASGI application; built on first use, since a direct invocation needs none."""
        if self._app is None:
            from farthing.serving.http import App

            self._app = App(self)
        return self._app

    def start(self) -> None:
        """Makes a server ready: once, however often it is asked to."""
        if not self.is_ready:
            self.warm_up()
            self.pipeline.instance.started(process_age_ns())

    def share_threads(self) -> None:
        """From now on calls are computed beside each other, on the threads of a batcher.

        But for platforms that send one call at a time: there they are computed where they are made.
        """
        settings = self.settings
        sends_singly = settings.host == "fc" and settings.concurrency == 1
        if not sends_singly and self.pipeline.batcher is None:
            # Named, not imported: computing is the layer's work that has the models.
            opened = import_module(BATCHER_MODULE).open_batcher(settings)
            self.pipeline.batcher = opened

    def stop(self) -> None:
        """Returns what is held of budgets and sends what is not sent; may be repeated."""
        self.is_ready = False
        while self.before_stop:
            self.before_stop.pop()()
        batcher, self.pipeline.batcher = self.pipeline.batcher, None
        if batcher is not None:
            batcher.close()
        if self.pipeline.cache is not None:
            self.pipeline.cache.flush(CACHE_FLUSH_S)
            self.pipeline.cache.close()
        self.book_idle()
        self.accounts.close()

    def book_idle(self) -> None:
        """Books to the house the time since the last booking in which nobody was served."""
        if self.settings.idle == "billed":
            self.pipeline.book_idle()

    def warm_up(self) -> None:
        """One real inference by every model; only then is the service ready. The house pays."""
        for contract in self.contracts:
            # What reads a request is built when the first one is read.
            read_request(contract.asking([WARM_UP_TEXT] * 2), contract.request_type)
        for answerer in self.pipeline.models:
            answerer.compute(answerer.prepare([WARM_UP_TEXT]))
        self.is_ready = True


def process_age_ns() -> int:
    """Nanoseconds since the operating system started this process (to its clock tick, 10 ms).

    Where /proc is absent, the time that the interpreter has been busy.
    """
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
        ticks = int(stat.rpartition(")")[2].split()[19])
    except OSError:
        return time.process_time_ns()
    started_ns = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started_ns)


def _key_ring(settings: Settings) -> KeyRing | None:
    if settings.access != "keys":
        return None
    from farthing.serving.keys import KeyRing

    return KeyRing(settings.keys, settings.revoked)


def _platform(settings: Settings) -> Platform:
    if settings.host == "lambda":
        from farthing.serving.platforms.aws_lambda import LambdaPlatform

        return LambdaPlatform(settings)
    if settings.host == "fc":
        from farthing.serving.platforms.alibaba_fc import FunctionComputePlatform

        return FunctionComputePlatform(settings)
    if settings.host == "knative":
        from farthing.serving.platforms.knative import KnativePlatform

        return KnativePlatform(settings)
    return LocalPlatform(settings)
