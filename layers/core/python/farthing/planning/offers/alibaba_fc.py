"""Alibaba Function Compute 3.0: pairs of vCPU and memory, from zero or with a floor."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from farthing.money import EXACT, multiply
from farthing.planning.case import SECONDS_PER_MONTH, gb_s_of_s, vcpu_s
from farthing.planning.errors import Unfit
from farthing.planning.options import Option, millis_of
from farthing.planning.simulation import US_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.billing.meter import Line
    from farthing.planning.case import Case

# One price list holds for all regions outside China.
REGION = "international"
# vCPU and GB go together from 1:1 to 1:4; memory in steps of 64 MB from 128.
VCPU_MILLI = (100, 200, 350, 500, 1000, 2000, 4000)
MEMORY_STEP_MB = 64
MEMORY_MIN_MB, MEMORY_MAX_MB = 128, 32_768
GB_PER_VCPU_MIN, GB_PER_VCPU_MAX = 1, 4
MB_PER_GB = 1024
FROM_ZERO, KEPT = "from zero", "1 kept in idle mode"
BATCH = 100
ASSUMED = ("calls.same-speed", "fc.keep-alive", "fc.start")
NOT_COVERED = (
    "logs and the image registry, for which the price book has no row",
    "rounding up of each hour's compute units",
    "answers' way out to the internet",
)


def fc_offers(case: Case) -> Iterator[tuple[str, Callable[[], Option]]]:
    for milli in VCPU_MILLI:
        yield f"Function Compute, {milli / 1000:g} vCPU, {FROM_ZERO}", partial(_offer, case, milli)
    yield f"Function Compute, {KEPT}", partial(_kept, case)


def _kept(case: Case) -> Option:
    """One instance in idle mode, of the cheapest size that has a vCPU for each thread."""
    for milli in VCPU_MILLI:
        if milli >= case.work.threads * 1000:
            try:
                return _offer(case, milli, floor=1)
            except Unfit:
                continue
    raise Unfit(f"the work needs {case.work.needed_mb:,} MB, more than any CPU goes with")


def _offer(case: Case, vcpu_milli: int, floor: int = 0) -> Option:
    """The least memory that the work needs and this CPU allows."""
    memory_mb = memory_for(vcpu_milli, case.work.needed_mb)
    if vcpu_milli > case.work.threads * 1000 and _fits(case, vcpu_milli):
        raise Unfit(
            f"{case.work.threads} thread{'s' if case.work.threads > 1 else ''} cannot use "
            "more CPU than a smaller size has"
        )
    service_us = case.work.service_us(vcpu_milli)
    run = case.run(service_us, case.elastic("fc", case.work.init_us(vcpu_milli), floor))
    billed_us = case.month(run.billed_ms) * US_PER_MS
    active = _units(case, billed_us, vcpu_milli, memory_mb, case.traffic.calls_month)
    standing: list[Line] = []
    if floor:
        # A floor instance costs its memory all month; computing adds the vCPU. So what it
        # computes is charged once for memory, in the standing part.
        floor_us = case.month(run.floor_billed_ms) * US_PER_MS
        active -= gb_units(case, floor_us, memory_mb)
        kept = gb_s_of_s(SECONDS_PER_MONTH, memory_mb)
        standing = case.rates.lines("fc.cu", multiply(kept, _factor(case, "memory")), REGION)
    once: list[Line] = []
    if case.work.index_texts:
        units = _units(
            case,
            case.work.index_us(vcpu_milli),
            vcpu_milli,
            memory_mb,
            -(-case.work.index_texts // BATCH),
        )
        once = case.rates.lines("fc.cu", units, REGION)
    return Option(
        platform="Function Compute",
        profile=f"{vcpu_milli / 1000:g} vCPU, {KEPT if floor else FROM_ZERO}",
        family="Function Compute",
        calls_month=case.traffic.calls_month,
        calls=tuple(case.rates.lines("fc.cu", active, REGION)),
        standing=tuple(standing),
        once=tuple(once),
        memory_mb=memory_mb,
        vcpu_milli=vcpu_milli,
        arch="x86_64",
        millis=millis_of(run),
        cold_share=run.cold_share,
        instances=floor or None,
        calls_max_month=case.slots_max_month(service_us, floor) if floor else None,
        assumptions=ASSUMED,
        not_covered=NOT_COVERED,
    )


def memory_for(vcpu_milli: int, needed_mb: int) -> int:
    """The least memory of that CPU. Raises `Unfit` where the CPU allows less than is needed."""
    least_mb = max(MEMORY_MIN_MB, vcpu_milli * GB_PER_VCPU_MIN * MB_PER_GB // 1000, needed_mb)
    memory_mb = -(-least_mb // MEMORY_STEP_MB) * MEMORY_STEP_MB
    most_mb = min(MEMORY_MAX_MB, vcpu_milli * GB_PER_VCPU_MAX * MB_PER_GB // 1000)
    if memory_mb > most_mb:
        raise Unfit(
            f"{vcpu_milli / 1000:g} vCPU go with {most_mb:,} MB at most, and the work needs "
            f"{needed_mb:,}"
        )
    return memory_mb


def _fits(case: Case, vcpu_milli: int) -> bool:
    """Whether a smaller CPU that still has a vCPU a thread allows the memory."""
    for smaller in VCPU_MILLI:
        if case.work.threads * 1000 <= smaller < vcpu_milli:
            try:
                memory_for(smaller, case.work.needed_mb)
            except Unfit:
                continue
            return True
    return False


def _units(case: Case, billed_us: int, vcpu_milli: int, memory_mb: int, calls: int) -> Decimal:
    """Compute units (CU) of so many calls that took so long together."""
    parts = (
        multiply(Decimal(calls), _factor(case, "invocation")),
        multiply(vcpu_s(billed_us, vcpu_milli), _factor(case, "vcpu_active")),
        gb_units(case, billed_us, memory_mb),
    )
    return sum(parts, Decimal(0))


def gb_units(case: Case, billed_us: int, memory_mb: int) -> Decimal:
    gb_s = EXACT.divide(Decimal(billed_us * memory_mb), Decimal(1_000_000 * MB_PER_GB))
    return multiply(gb_s, _factor(case, "memory"))


def _factor(case: Case, name: str) -> Decimal:
    return case.rates.row(f"fc.factor.{name}", REGION).rate
