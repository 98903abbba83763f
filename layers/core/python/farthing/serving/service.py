"""One process's service: its models, its pipeline and its ASGI application."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from farthing.billing.meter import Meter
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.serving.keys import KeyRing
from farthing.serving.pipeline import Pipeline
from farthing.serving.registry import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.applications import Starlette

    from farthing.serving.platforms import Platform
    from farthing.serving.ports import Contract
    from farthing.settings import Settings

T = TypeVar("T")

WARM_UP_TEXT = "A text that every model can read."


class Service:
    """Loaded and able to answer from the moment it exists.

    Raises `StartupError` where settings, price book or bundles do not allow that.
    """

    def __init__(self, functions: Sequence[str], settings: Settings) -> None:
        started_ns = time.perf_counter_ns()
        self.settings = settings
        self.keys = KeyRing(settings.keys) if settings.access == "keys" else None
        self.contracts: list[Contract] = []
        models = {}
        for name in functions:
            function = FUNCTIONS[name]
            self.contracts.append(function.contract)
            load = getattr(import_module(function.loader_module), function.loader_name)
            models[function.contract.task] = load(function.contract.task, settings)
        meter = Meter(read_price_book(), settings)
        self.pipeline = Pipeline(settings, models, meter, SharedTime())
        self.platform = _platform(settings)
        self.is_ready = False
        self.load_ns = time.perf_counter_ns() - started_ns
        self._workers: ThreadPoolExecutor | None = None
        self._app: Starlette | None = None

    @property
    def app(self) -> Starlette:
        """The ASGI application; built on first use, since a direct invocation needs none."""
        if self._app is None:
            from farthing.serving.http import build_app

            self._app = build_app(self, self.platform.routes(self))
            self._app.router.lifespan_context = self._lifespan
        return self._app

    def warm_up(self) -> None:
        """One real inference by every model; only then is the service ready. The house pays."""
        for answerer in self.pipeline.models:
            answerer.compute(answerer.prepare([WARM_UP_TEXT]))
        self.is_ready = True

    async def run(self, work: Callable[[], T]) -> T:
        """The work's result: from a worker thread on a server, inline where calls come singly."""
        if self._workers is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """A server's life. Runs only under uvicorn; Lambda has no such hook."""
        self._workers = ThreadPoolExecutor(self.settings.calls_at_once, "farthing")
        if not self.is_ready:
            self.warm_up()
            self.pipeline.started(process_age_ns())
        yield
        self.is_ready = False
        self._workers.shutdown()
        self._workers = None


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


def _platform(settings: Settings) -> Platform:
    if settings.host == "lambda":
        from farthing.serving.platforms.aws_lambda import LambdaPlatform

        return LambdaPlatform(settings)
    if settings.host == "fc":
        from farthing.serving.platforms.alibaba_fc import FunctionComputePlatform

        return FunctionComputePlatform(settings)
    from farthing.serving.platforms.knative import KnativePlatform, LocalPlatform

    return KnativePlatform(settings) if settings.host == "knative" else LocalPlatform(settings)
