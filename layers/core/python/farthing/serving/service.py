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
from farthing.serving.pipeline import Pipeline
from farthing.serving.platforms import LocalPlatform
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from farthing.serving.http import App
    from farthing.serving.keys import KeyRing
    from farthing.serving.platforms import Platform
    from farthing.serving.ports import Contract
    from farthing.settings import Settings

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
        self.contracts: list[Contract] = [function.contract for function in chosen]
        loaders = [getattr(import_module(one.loader_module), one.loader_name) for one in chosen]
        # The first lease is asked for while models are read and built, which leaves a thread time;
        # imports would not.
        self.accounts.prefetch(meter)
        models = {
            contract.task: load(contract.task, settings)
            for contract, load in zip(self.contracts, loaders, strict=True)
        }
        self.pipeline = Pipeline(settings, models, meter, SharedTime(), self.accounts)
        self.platform = _platform(settings)
        self.is_ready = False
        self.load_ns = time.perf_counter_ns() - started_ns
        # The threads that compute; only a server has any.
        self.workers: Executor | None = None
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
            self.pipeline.started(process_age_ns())

    def stop(self) -> None:
        """Returns what is held of budgets and sends what is not sent; may be repeated."""
        self.is_ready = False
        self.book_idle()
        self.accounts.close()

    def book_idle(self) -> None:
        """Books to the house the time since the last booking in which nobody was served."""
        if self.settings.idle == "billed":
            self.pipeline.book_idle()

    def warm_up(self) -> None:
        """One real inference by every model; only then is the service ready. The house pays."""
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
