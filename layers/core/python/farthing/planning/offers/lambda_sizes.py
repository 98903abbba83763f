"""AWS Lambda on demand at each memory size, and under a savings plan."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from farthing.billing.meter import line_of
from farthing.money import EXACT, multiply
from farthing.planning.case import gb_s_of_ms
from farthing.planning.commitment import cheapest_mix
from farthing.planning.errors import Unfit
from farthing.planning.options import Growth, Option, millis_of
from farthing.planning.rates import GLOBAL
from farthing.planning.traffic import HOURS_PER_MONTH, US_PER_HOUR
from farthing.settings import LAMBDA_MB_PER_VCPU

if TYPE_CHECKING:
    from typing import Any

    from farthing.billing.meter import Line
    from farthing.planning.case import Case
    from farthing.planning.simulation import Run

SIZES_MB = (128, 256, 512, 1024, 1769, 3008, 5120, 7076, 10_240)
BATCH = 100
GB_BYTES = 10**9
MB_PER_GB = 1024
MS_PER_US = 1000
ASSUMED = (
    "calls.same-speed",
    "lambda.keep-alive",
    "lambda.start",
    "lambda.init-core",
    "lambda.alarms",
    "lambda.log-bytes",
    "lambda.lease-calls",
    "lambda.settle-gb-s",
)
NOT_COVERED = (
    "answers' way out to the internet",
    "an API gateway (a function URL costs nothing)",
)


def on_demand(case: Case, arch: str, memory_mb: int) -> Option:
    run = lambda_run(case, memory_mb)
    gb_s = gb_s_of_ms(case.month(run.billed_ms), memory_mb)
    lines = case.rates.lines(f"lambda.duration.{arch}", gb_s)
    return lambda_option(case, run, arch, memory_mb, "on demand", lines, free_gb_s=gb_s)


def savings_plan(case: Case, arch: str, memory_mb: int) -> Option:
    """A commitment to the GB-seconds that are worth it hour by hour; the rest is on demand."""
    run = lambda_run(case, memory_mb)
    gb_s = gb_s_of_ms(case.month(run.billed_ms), memory_mb)
    plan, demand = (case.rates.row(f"lambda.{kind}.{arch}").rate for kind in ("sp", "duration"))
    # In thousandths of a GB-second, so that the hours' parts are whole numbers.
    per_call = float(gb_s) * 1000 / case.traffic.calls_month
    mix = cheapest_mix([round(calls * per_call) for calls in case.traffic.by_hour], plan, demand)
    thousandth = Decimal("0.001")
    lines = [
        case.rates.line(f"lambda.sp.{arch}", mix.committed_hours * thousandth),
        case.rates.line(f"lambda.duration.{arch}", mix.on_demand_hours * thousandth),
    ]
    if not mix.committed:
        raise Unfit("no hour of the night is busy enough for a commitment to save anything")
    return lambda_option(case, run, arch, memory_mb, "savings plan, peaks on demand", lines)


def cheapest_mb(case: Case, arch: str) -> int:
    """The size whose on-demand month is cheapest. Raises `PriceMissing`, or `Unfit` for none."""
    prices = {}
    for memory_mb in SIZES_MB:
        try:
            prices[memory_mb] = on_demand(case, arch, memory_mb).usd_month
        except Unfit:
            continue
    if not prices:
        raise Unfit(f"the work needs {case.work.needed_mb:,} MB, more than Lambda has")
    return min(prices, key=lambda memory_mb: (prices[memory_mb], memory_mb))


def lambda_run(case: Case, memory_mb: int, floor: int = 0, init_us: int | None = None) -> Run:
    """Raises `Unfit` where the size is too small, or larger than threads can use."""
    work = case.work
    if memory_mb < work.needed_mb:
        raise Unfit(
            f"{memory_mb:,} MB are less than the work's {work.peak_mb:,} MB and a quarter more"
        )
    smaller = [mb for mb in SIZES_MB if work.needed_mb <= mb < memory_mb]
    if any(mb >= work.threads * LAMBDA_MB_PER_VCPU for mb in smaller):
        raise Unfit(
            f"{work.threads} thread{'s' if work.threads > 1 else ''} cannot use more CPU than a "
            "smaller size has"
        )
    wait_us = work.init_us(1000) if init_us is None else init_us
    service_us = work.service_us(vcpu_milli_of(memory_mb), memory_mb)
    return case.run(service_us, case.elastic("lambda", wait_us, floor, init_billed=True))


def vcpu_milli_of(memory_mb: int) -> int:
    return max(1, memory_mb * 1000 // LAMBDA_MB_PER_VCPU)


def lambda_option(
    case: Case,
    run: Run,
    arch: str,
    memory_mb: int,
    profile: str,
    lines: list[Line],
    standing: list[Line] | None = None,
    free_gb_s: Decimal | None = None,
    assumed: tuple[str, ...] = (),
    **facts: Any,
) -> Option:
    """With the requests, and what the shipped template adds to watch, to log and to bill."""
    rates, calls = case.rates, case.traffic.calls_month
    number = case.assumptions.number
    leases = -(-calls // int(number("lambda.lease-calls")))
    once: list[Line] = []
    if case.work.index_texts:
        index_ms = -(-case.work.index_us(vcpu_milli_of(memory_mb)) // MS_PER_US)
        once = [
            rates.line("lambda.requests", -(-case.work.index_texts // BATCH)),
            rates.line(f"lambda.duration.{arch}", gb_s_of_ms(index_ms, memory_mb)),
        ]
    return Option(
        platform="AWS Lambda",
        profile=f"{arch}, {profile}",
        family="Lambda",
        calls_month=calls,
        calls=(rates.line("lambda.requests", calls), *lines),
        standing=(
            *(standing or ()),
            rates.line("cloudwatch.alarm", number("lambda.alarms")),
            *log_and_image(case),
            rates.line("dynamodb.write", leases),
            rates.line(f"lambda.duration.{arch}", HOURS_PER_MONTH * number("lambda.settle-gb-s")),
        ),
        once=tuple(once),
        free=_free(case, arch, free_gb_s) if free_gb_s is not None else (),
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli_of(memory_mb) if "Managed" not in profile else 1000,
        arch=arch,
        millis=millis_of(run),
        cold_share=run.cold_share,
        growth=_growth(case, run, arch, memory_mb),
        assumptions=(*ASSUMED, *assumed),
        not_covered=NOT_COVERED,
        **facts,
    )


def _growth(case: Case, run: Run, arch: str, memory_mb: int) -> Growth:
    """Init is billed to calls that start cold, and those do not grow with the calls."""
    cold = case.month(run.cold)
    init_ms = -(-run.init_us // (run.cold * MS_PER_US)) if run.cold else 0
    rate = case.rates.row(f"lambda.duration.{arch}").rate
    usd = float(multiply(gb_s_of_ms(init_ms, memory_mb), rate))
    keep_alive_us = case.assumptions.us("lambda.keep-alive")
    return Growth(case.hours, keep_alive_us / US_PER_HOUR, cold, usd)


def log_and_image(case: Case) -> list[Line]:
    """The calls' log and the image in its registry, for a month."""
    log_bytes = case.traffic.calls_month * case.assumptions.number("lambda.log-bytes")
    image_gb = EXACT.divide(Decimal(case.work.image_mb), Decimal(MB_PER_GB))
    return [
        case.rates.line("ecr.storage", image_gb),
        *case.rates.lines("cloudwatch.logs.lambda", EXACT.divide(log_bytes, Decimal(GB_BYTES))),
    ]


def _free(case: Case, arch: str, gb_s: Decimal) -> tuple[Line, ...]:
    """What is free each month to an account that runs nothing else on Lambda."""
    used = {
        "requests": ("lambda.requests", Decimal(case.traffic.calls_month)),
        "duration": (f"lambda.duration.{arch}", gb_s),
    }
    lines = []
    for name, (rule, quantity) in used.items():
        free = case.rates.row(f"lambda.free.{name}", GLOBAL).rate
        row = case.rates.row(rule)
        lines.append(line_of(f"lambda.free.{name}", -min(quantity, free), row.unit, row.rate))
    return tuple(lines)
