"""Dollars per million calls: each measured time, billed as its platform bills it.

A time is measured on whole cores. Where a platform gives a share of one, the same work takes
longer by that share: on Lambda a vCPU comes with 1,769 MB
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). A real call of a few
milliseconds may end within its slice of CPU time and be quicker, so this is the cautious price.
"""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.errors import StartupError
from farthing.money import total
from farthing.settings import LAMBDA_MB_PER_VCPU, Settings, read_settings
from farthing.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.meter import Charge
    from farthing.forge.evaluate.start import Start

MILLION = 1_000_000
NS_PER_MS = 1_000_000
# What a process needs beside its model: a web server, and room for longer texts.
MEMORY_HEADROOM = 1.25
# Sizes that all three platforms sell; a size between them may be asked for.
SIZES_MB = (128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 10_240)
REQUEST_FEES = {"lambda.requests", "fc.invocation"}
# Function Compute wants between 1 and 4 GB for each vCPU, sold in steps of 0.05: the package
# alibabacloud-fc20230330 4.8.3, models of CreateFunctionInput.
FC_STEP_MILLI = 50
MICRO_DOLLAR = Decimal("0.000001")


class TooLarge(StartupError):
    """A model needs more memory than a platform sells."""


class Pricing(msgspec.Struct, frozen=True):
    """Where calls are priced: `memory_mb` is asked for, and raised for a model that needs more.

    An empty field is the platform's default in `farthing.settings`; `arch` is then that of the
    machine that measures. `vcpu_milli` is for Function Compute and Knative: Lambda sells CPU with
    memory.
    """

    platform: Literal["lambda", "fc", "knative"] = "lambda"
    memory_mb: int = 1024
    vcpu_milli: int = 1000
    region: str = ""
    arch: str = ""
    node: str = ""


class Bill(msgspec.Struct, frozen=True):
    """US dollars for a million calls, to a millionth of a dollar; the two parts add up.

    `billed_ms` is the mean of what the platform's own rule counts for a call.
    """

    usd_per_million: Decimal
    request_usd_per_million: Decimal
    compute_usd_per_million: Decimal
    billed_ms: float


class Price(msgspec.Struct, frozen=True):
    """Warm calls, and calls of which each starts an environment; None where no start is known.

    `memory_mb` is what is paid for; `needed_mb` the measured peak and a quarter more, 0 if
    unknown. Whether an environment's start is billed is the platform's rule: Lambda bills it,
    the others do not bill it to a call.
    """

    platform: str
    region: str
    arch: str
    price_book: str
    asked_mb: int
    needed_mb: int
    memory_mb: int
    vcpu_milli: int
    warm: Bill
    cold: Bill | None

    @property
    def was_raised(self) -> bool:
        """Whether the model does not fit into the memory that was asked for."""
        return self.memory_mb > self.asked_mb


def price_calls(
    one_text_ns: Sequence[int],
    pricing: Pricing,
    *,
    threads: int = 1,
    start: Start | None = None,
    peak_rss_mb: float | None = None,
    cold_ms: float | None = None,
) -> Price:
    """The mean price of calls that take these times, each billed by itself.

    :param one_text_ns: times on `threads` whole cores, at least one.
    :param start: what a cold call takes; without one, `cold_ms` and `peak_rss_mb` if known.
    :raises TooLarge: if no size holds the peak.
    """
    if start is not None:
        peak_rss_mb = start.peak_rss_mb
    needed_mb = ceil((peak_rss_mb or 0) * MEMORY_HEADROOM)
    settings = _settings(pricing, fitting_mb(pricing.memory_mb, needed_mb))
    book = read_price_book()
    meter = meter_of(book, settings)
    warm = [meter.cost(_usage(settings, threads, 0, busy_ns)) for busy_ns in one_text_ns]
    cold = None
    if start is not None:
        first_ns = round(start.first_answer_ms * NS_PER_MS)
        init_ns = max(0, round(start.cold_ms * NS_PER_MS) - first_ns)
        cold = _bill([meter.cost(_usage(settings, threads, init_ns, first_ns))])
    elif cold_ms is not None:
        cold = _bill([meter.cost(_usage(settings, threads, round(cold_ms * NS_PER_MS), 0))])
    return Price(
        platform=settings.platform,
        region=settings.region,
        arch=settings.arch,
        price_book=book.version,
        asked_mb=pricing.memory_mb,
        needed_mb=needed_mb,
        memory_mb=settings.memory_mb,
        vcpu_milli=settings.vcpu_milli,
        warm=_bill(warm),
        cold=cold,
    )


def fitting_mb(asked_mb: int, needed_mb: int) -> int:
    """The size asked for if it holds what is needed, else the smallest of `SIZES_MB` that does.

    :raises TooLarge: if none does.
    """
    if needed_mb <= asked_mb:
        return asked_mb
    for size_mb in SIZES_MB:
        if size_mb >= needed_mb:
            return size_mb
    raise TooLarge(
        f"The model needs {needed_mb:,} MB, its measured peak and a quarter more; the largest "
        f"size is {SIZES_MB[-1]:,} MB. Choose a smaller model."
    )


def slowed_ns(time_ns: int, settings: Settings, threads: int) -> int:
    """The time where the platform gives this much CPU, rounded up; never less than measured."""
    if settings.platform == "lambda":
        given, whole = settings.memory_mb, LAMBDA_MB_PER_VCPU * threads
    else:
        given, whole = settings.vcpu_milli, 1000 * threads
    return max(time_ns, -(-time_ns * whole // given))


def _settings(pricing: Pricing, memory_mb: int) -> Settings:
    chosen: dict[str, Any] = {
        name: getattr(pricing, name) or None for name in ("region", "arch", "node")
    }
    if pricing.platform != "lambda":
        chosen["vcpu_milli"] = pricing.vcpu_milli
    if pricing.platform == "fc":
        chosen["vcpu_milli"] = _fc_vcpu_milli(pricing.vcpu_milli, memory_mb)
    # Models are compared by what they take, without what every function has around them.
    return read_settings(
        {"FARTHING_PLATFORM": "local"},
        platform=pricing.platform,
        memory_mb=memory_mb,
        overhead_us=0,
        **chosen,
    )


def _fc_vcpu_milli(asked_milli: int, memory_mb: int) -> int:
    """The CPU asked for, within what Function Compute sells with this memory."""
    most = memory_mb * 1000 // 1024 // FC_STEP_MILLI * FC_STEP_MILLI
    least = -(-memory_mb * 1000 // (4 * 1024 * FC_STEP_MILLI)) * FC_STEP_MILLI
    return max(least, min(asked_milli, most))


def _usage(settings: Settings, threads: int, init_ns: int, busy_ns: int) -> Usage:
    return Usage(
        prompt_tokens=0,
        truncated=0,
        busy_ns=slowed_ns(busy_ns, settings, threads),
        init_ns=slowed_ns(init_ns, settings, threads),
        memory_mb=settings.memory_mb,
        vcpu_milli=settings.vcpu_milli,
        disk_mb=settings.disk_mb,
        cold=init_ns > 0,
    )


def _bill(charges: Sequence[Charge]) -> Bill:
    lines = [line for charge in charges for line in charge.lines]
    request = total(line.amount for line in lines if line.rule in REQUEST_FEES)
    compute = total(line.amount for line in lines if line.rule not in REQUEST_FEES)
    request_usd, compute_usd = (_per_million(amount, len(charges)) for amount in (request, compute))
    return Bill(
        usd_per_million=request_usd + compute_usd,
        request_usd_per_million=request_usd,
        compute_usd_per_million=compute_usd,
        billed_ms=sum(charge.billed_ms for charge in charges) / len(charges),
    )


def _per_million(amount: Decimal, calls: int) -> Decimal:
    """A mean is no exact decimal, so it is rounded here, once, and only for show."""
    return (amount * MILLION / calls).quantize(MICRO_DOLLAR)
