"""Machines by the hour: a box, GPUs, managed endpoints and a Raspberry Pi."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import Line, line_of
from farthing.money import EXACT
from farthing.planning.errors import Unfit
from farthing.planning.options import Family, Option, millis_of
from farthing.planning.simulation import Fixed
from farthing.planning.traffic import HOURS_PER_MONTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.planning.case import Case

US_PER_S = 1_000_000
PI_CORES = 4
PI_MEMORY_MB = 4096
PI_MONTHS = 36
FINE = Decimal("0.000001")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`rules` are billed by the hour, in a region of their own unless it is None; a machine
    with `slots` 0 is a GPU."""

    platform: str
    profile: str
    family: Family
    rules: tuple[tuple[str, int], ...]
    region: str | None
    slots: int
    memory_mb: int
    arch: str = "x86_64"
    disk: bool = False
    not_covered: tuple[str, ...] = ()


def _gpu(
    platform: str, profile: str, *rules: str, region: str | None = None, disk: bool = False
) -> Machine:
    return Machine(
        platform=platform,
        profile=profile,
        family="GPU by the hour",
        rules=tuple((rule, 1) for rule in rules),
        region=region,
        slots=0,
        memory_mb=16_384,
        disk=disk,
    )


MACHINES = (
    Machine(
        platform="AWS Fargate",
        profile="1 vCPU, 2 GB tasks",
        family="box",
        rules=(("fargate.vcpu", 1), ("fargate.gb", 2)),
        region=None,
        slots=1,
        memory_mb=2048,
    ),
    *(
        Machine(
            platform="AWS EC2",
            profile=f"{kind}.xlarge on demand",
            family="box",
            rules=((f"ec2.{kind}.xlarge", 1),),
            region=None,
            slots=4,
            memory_mb=8192,
            arch=arch,
            disk=True,
        )
        for kind, arch in (("c7i", "x86_64"), ("c7g", "arm64"))
    ),
    *(
        Machine(
            platform="Hugging Face Endpoint",
            profile=f"intel-spr x{slots}",
            family="Hugging Face Endpoint",
            rules=((f"hf.endpoint.cpu.x{slots}", 1),),
            region="aws",
            slots=slots,
            memory_mb=2048 * slots,
        )
        for slots in (1, 2, 4)
    ),
    _gpu("T4", "Google, the GPU alone, as published", "gcp.t4", region="us-central1"),
    _gpu("T4", "Google, with its host", "gcp.t4", "gcp.n1-standard-4", region="us-central1"),
    _gpu("T4", "AWS g4dn.xlarge on demand", "ec2.g4dn.xlarge", disk=True),
    _gpu("T4", "AWS g4dn.xlarge spot", "ec2.g4dn.xlarge.spot", disk=True),
    _gpu("T4", "Hugging Face Endpoint", "hf.endpoint.t4", region="aws"),
    _gpu("V100", "Google, the GPU alone, as published", "gcp.v100", region="us-central1"),
    _gpu("V100", "Google, with its host", "gcp.v100", "gcp.n1-standard-4", region="us-central1"),
    _gpu("V100", "AWS p3.2xlarge on demand", "ec2.p3.2xlarge", disk=True),
    _gpu("V100", "Paperspace", "paperspace.v100", region="NY2"),
)


def machine_offers(case: Case) -> Iterator[tuple[str, Callable[[], Option]]]:
    for machine in MACHINES:
        yield f"{machine.platform}, {machine.profile}", partial(_offer, case, machine)
    yield "Raspberry Pi 4", partial(_raspberry_pi, case)


def _offer(case: Case, machine: Machine) -> Option:
    """Always on, and as many as the busiest hour needs."""
    gpu = not machine.slots
    _require_memory(case, machine.memory_mb)
    if gpu:
        per_s = case.assumptions.number("gpu.calls-per-s")
        count, calls_max, busy = case.machines(US_PER_S / float(per_s), 1)
        millis = None
    else:
        service_us = case.work.service_us(1000)
        count, calls_max, busy = case.machines(case.mean_service_us(service_us), machine.slots)
        millis = millis_of(case.run(service_us, Fixed(machine.slots * count)))
    hours = count * HOURS_PER_MONTH
    lines = [case.rates.line(rule, units * hours, machine.region) for rule, units in machine.rules]
    assumed = ["gpu.calls-per-s" if gpu else "calls.same-speed", "machine.utilisation"]
    if machine.platform == "AWS Fargate":
        assumed.append("fargate.gb")
    if machine.disk:
        disk_gb = count * case.assumptions.number("machine.disk-gb")
        lines.append(case.rates.line("ebs.gp3", disk_gb))
        assumed.append("machine.disk-gb")
    return Option(
        platform=machine.platform,
        profile=machine.profile if count == 1 else f"{count} × {machine.profile}",
        family=machine.family,
        calls_month=case.traffic.calls_month,
        standing=tuple(lines),
        memory_mb=machine.memory_mb,
        vcpu_milli=machine.slots * 1000 or None,
        arch=machine.arch,
        millis=millis,
        cold_share=0.0,
        utilisation=busy,
        instances=count,
        calls_max_month=calls_max,
        assumptions=tuple(assumed),
        not_covered=(
            "a second machine for when this one fails",
            "a load balancer, updates and whoever does them",
            *(("its latency, which was not measured",) if gpu else ()),
        ),
    )


def _raspberry_pi(case: Case) -> Option:
    """At home or in the office: the board over three years and the electricity."""
    number = case.assumptions.number
    _require_memory(case, PI_MEMORY_MB)
    service_us = case.work.service_us(1000) * int(number("pi.slower"))
    count, calls_max, busy = case.machines(case.mean_service_us(service_us), PI_CORES)
    run = case.run(service_us, Fixed(PI_CORES * count))
    idle_w, busy_w = number("pi.idle-w"), number("pi.busy-w")
    watts = idle_w + (busy_w - idle_w) * Decimal(busy).quantize(FINE)
    kwh = EXACT.divide(EXACT.multiply(count * watts, Decimal(HOURS_PER_MONTH)), Decimal(1000))
    board = EXACT.divide(number("pi.board-usd"), Decimal(PI_MONTHS))
    lines: tuple[Line, ...] = (
        line_of("assumed.pi-board", Decimal(count), "month", board),
        line_of("assumed.electricity", kwh, "kWh", number("electricity.usd-kwh")),
    )
    return Option(
        platform="Raspberry Pi 4",
        profile="at home, always on" if count == 1 else f"{count} at home, always on",
        family="Raspberry Pi",
        calls_month=case.traffic.calls_month,
        standing=lines,
        memory_mb=PI_MEMORY_MB,
        vcpu_milli=PI_CORES * 1000,
        arch="arm64",
        millis=millis_of(run),
        cold_share=0.0,
        utilisation=busy,
        instances=count,
        calls_max_month=calls_max,
        assumptions=(
            "pi.board-usd",
            "pi.slower",
            "pi.idle-w",
            "pi.busy-w",
            "electricity.usd-kwh",
            "machine.utilisation",
        ),
        not_covered=("the line to the internet", "what happens when it fails", "whoever keeps it"),
    )


def _require_memory(case: Case, memory_mb: int) -> None:
    if case.work.needed_mb > memory_mb:
        raise Unfit(f"the work needs {case.work.needed_mb:,} MB and this has {memory_mb:,}")
