"""AWS Lambda with environments that stand ready: provisioned, snapshots, Managed Instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.planning.case import SECONDS_PER_MONTH, gb_s_of_ms, gb_s_of_s
from farthing.planning.errors import Unfit
from farthing.planning.offers.lambda_sizes import lambda_option, lambda_run, vcpu_milli_of
from farthing.planning.simulation import Fixed
from farthing.planning.traffic import HOURS_PER_MONTH

if TYPE_CHECKING:
    from farthing.planning.case import Case
    from farthing.planning.options import Option

FLOORS_MAX = 64
US_PER_S = 1_000_000


def provisioned(case: Case, arch: str, memory_mb: int) -> Option:
    """As many environments kept ready as are cheapest, at least one; peaks are on demand."""
    best = None
    for floor in range(1, FLOORS_MAX + 1):
        option = _provisioned(case, arch, memory_mb, floor)
        if best is not None and option.usd_month >= best.usd_month:
            break
        best = option
    if best is None:
        raise Unfit("no floor of environments was tried")
    return best


def _provisioned(case: Case, arch: str, memory_mb: int, floor: int) -> Option:
    run = lambda_run(case, memory_mb, floor)
    kept = floor * gb_s_of_s(SECONDS_PER_MONTH, memory_mb)
    on_floor = gb_s_of_ms(case.month(run.floor_billed_ms), memory_mb)
    beyond = gb_s_of_ms(case.month(run.billed_ms) - case.month(run.floor_billed_ms), memory_mb)
    lines = [
        *case.rates.lines(f"lambda.provisioned_duration.{arch}", on_floor),
        *case.rates.lines(f"lambda.duration.{arch}", beyond),
    ]
    standing = case.rates.lines(f"lambda.provisioned.{arch}", kept)
    service_us = case.mean_service_us(case.work.service_us(vcpu_milli_of(memory_mb), memory_mb))
    busy = service_us * case.traffic.calls_month / (floor * SECONDS_PER_MONTH * US_PER_S)
    return lambda_option(
        case,
        run,
        arch,
        memory_mb,
        f"{floor} provisioned, peaks on demand",
        lines,
        standing,
        instances=floor,
        calls_max_month=case.slots_max_month(service_us, floor),
        utilisation=busy,
    )


def snap_start(case: Case, arch: str, memory_mb: int) -> Option:
    """A snapshot of one published version, kept the whole month; each start is a restore."""
    run = lambda_run(case, memory_mb, init_us=case.assumptions.us("lambda.restore"))
    gb_s = gb_s_of_ms(case.month(run.billed_ms), memory_mb)
    restored_gb = case.month(run.cold) * gb_s_of_s(1, memory_mb)
    lines = [
        *case.rates.lines(f"lambda.duration.{arch}", gb_s),
        *case.rates.lines("lambda.snapstart.restore", restored_gb),
    ]
    standing = case.rates.lines("lambda.snapstart.cache", gb_s_of_s(SECONDS_PER_MONTH, memory_mb))
    return lambda_option(
        case,
        run,
        arch,
        memory_mb,
        "SnapStart",
        lines,
        standing,
        free_gb_s=gb_s,
        assumed=("lambda.restore",),
    )


def managed(case: Case, arch: str, node: str) -> Option:
    """Instances of one's own under Lambda's management: at least three, never zero."""
    if case.work.needed_mb > 2048:
        raise Unfit("an environment of one vCPU has 2,048 MB there")
    service_us = case.work.service_us(1000)
    least = int(case.assumptions.number("lambda.managed-instances"))
    # One vCPU of each instance is the platform's own.
    count, calls_max, busy = case.machines(case.mean_service_us(service_us), 3)
    instances = max(least, count)
    hours = instances * HOURS_PER_MONTH
    run = case.run(service_us, Fixed(3 * instances))
    return lambda_option(
        case,
        run,
        arch,
        2048,
        f"Managed Instances, {instances} {node}",
        [],
        [
            case.rates.line(f"lambda.managed_instance.{node}", hours),
            case.rates.line(f"lambda.managed_fee.{node}", hours),
        ],
        instances=instances,
        calls_max_month=calls_max * instances / count,
        utilisation=busy * count / instances,
        assumed=("lambda.managed-instances", "machine.utilisation"),
    )
