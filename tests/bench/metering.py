"""What the metering of one invocation takes: envelope, usage and charge, on each platform."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from farthing.billing.meter import meter_of
from farthing.billing.plans import Plan
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.serving.platforms.alibaba_fc import FunctionComputePlatform
from farthing.serving.platforms.aws_lambda import LambdaPlatform
from farthing.serving.platforms.knative import KnativePlatform
from farthing.settings import read_settings
from farthing.usage import Usage
from tests.bench.results import Result, at_most, p50
from tests.bench.samples import LambdaContext
from tests.bench.surroundings import FC, KNATIVE, LAMBDA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METERING_US_MAX = 50
CALLS_PER_ROUND = 2_000
NEIGHBOURS = 31
NS_PER_US = 1000

FC_SCOPE = {
    "headers": [
        (b"content-type", b"application/json"),
        (b"x-fc-request-id", b"1-6560b7f2-8d7f5c8a9e9f4d0c8b5a"),
        (b"x-fc-function-memory", b"1024"),
    ]
}


def run(rounds: int) -> list[Result]:
    """Microseconds per invocation: the median over rounds of each round's mean."""
    contestants = {
        "lambda: envelope, usage, charge as JSON": _metered(
            LAMBDA, LambdaPlatform, {"aws.context": LambdaContext()}
        ),
        "fc: envelope, usage, charge as JSON": _metered(FC, FunctionComputePlatform, FC_SCOPE),
        "knative: envelope, usage, charge as JSON": _metered(KNATIVE, KnativePlatform, {}),
        "shared time: enter, compute, wait, leave; alone": _shared(0),
        f"the same among {NEIGHBOURS} others": _shared(NEIGHBOURS),
    }
    taken_us: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, once in contestants.items():
            started_ns = time.perf_counter_ns()
            for _ in range(CALLS_PER_ROUND):
                once()
            elapsed_ns = time.perf_counter_ns() - started_ns
            taken_us[name].append(elapsed_ns / CALLS_PER_ROUND / NS_PER_US)
    return [
        at_most(name, p50(samples), METERING_US_MAX, "µs") for name, samples in taken_us.items()
    ]


def _metered(
    environ: Mapping[str, str], platform_type: Any, scope: Mapping[str, Any]
) -> Callable[[], object]:
    """All that an invocation does for its price, without the model."""
    settings = read_settings(environ)
    platform = platform_type(settings)
    meter, plan = meter_of(read_price_book(), settings), Plan()

    def once() -> object:
        envelope = platform.envelope(scope)
        usage = Usage(
            prompt_tokens=23,
            truncated=0,
            busy_ns=3_141_592,
            init_ns=0,
            memory_mb=envelope.memory_mb or settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=False,
        )
        price = plan.price(meter.cost(usage), usage)
        return usage.as_json(price.billed_ms), price.as_json()

    return once


def _shared(neighbours: int) -> Callable[[], object]:
    shared = SharedTime()
    for _ in range(neighbours):
        shared.enter().compute(17)

    def once() -> object:
        share = shared.enter()
        share.compute(23)
        share.wait()
        return share.leave()

    return once
