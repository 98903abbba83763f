"""Knative: a share of a cluster's node from zero, or nodes of one's own."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from farthing.money import EXACT
from farthing.planning.case import vcpu_s
from farthing.planning.commitment import cheapest_mix
from farthing.planning.errors import Unfit
from farthing.planning.options import Growth, Option, millis_of
from farthing.planning.simulation import Fixed
from farthing.planning.traffic import HOURS_PER_MONTH, US_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.billing.meter import Line
    from farthing.planning.case import Case

ARCHS = {"c7i": "x86_64", "c7g": "arm64"}
SHARED_NODES = ("c7i.xlarge", "c7g.xlarge", "c7g.xlarge.spot")
NODE_VCPUS = 4
POD_VCPU_MILLI = 1000
MEMORY_STEP_MB = 64
MB_PER_GB = 1024
US_PER_S = 1_000_000
NOT_COVERED = ("the cluster itself: its control plane, and other nodes", "logs", "the registry")


def knative_offers(case: Case) -> Iterator[tuple[str, Callable[[], Option]]]:
    for node in SHARED_NODES:
        yield f"Knative, share of a {node}", partial(_share, case, node)
    for kind in ARCHS:
        yield f"Knative, {kind}.xlarge on demand", partial(_on_demand, case, kind)
        yield f"Knative, {kind}.xlarge spot", partial(_spot, case, kind)
        yield f"Knative, {kind}.xlarge for a year", partial(_committed, case, kind)


def _share(case: Case, node: str) -> Option:
    """Pods of one vCPU from zero, billed from their start until they were idle long enough."""
    memory_mb = -(-case.work.needed_mb // MEMORY_STEP_MB) * MEMORY_STEP_MB
    init_us = case.work.init_us(POD_VCPU_MILLI)
    fleet = case.elastic("knative", init_us)
    service_us = case.work.service_us(POD_VCPU_MILLI)
    run = case.run(service_us, fleet)
    return Option(
        platform="Knative",
        profile=f"from zero, share of a {node.replace('.spot', ' spot')}",
        family="Knative",
        calls_month=case.traffic.calls_month,
        calls=_pods(case, node, memory_mb, case.month(run.busy_us + run.cold * init_us)),
        standing=_pods(case, node, memory_mb, case.month(run.idle_us)),
        memory_mb=memory_mb,
        vcpu_milli=POD_VCPU_MILLI,
        arch=ARCHS[node[:3]],
        millis=millis_of(run),
        cold_share=run.cold_share,
        utilisation=run.busy_us / (run.busy_us + run.idle_us),
        growth=Growth(
            case.hours,
            fleet.keep_alive_us / US_PER_HOUR,
            pods=True,
            service_h=case.mean_service_us(service_us) / US_PER_HOUR,
        ),
        assumptions=("calls.same-speed", "knative.keep-alive", "knative.start"),
        not_covered=(*NOT_COVERED, "the node's other half-used share: somebody else's pods"),
    )


def _pods(case: Case, node: str, memory_mb: int, alive_us: int) -> tuple[Line, ...]:
    """The share of the node that pods take in so much time."""
    gb_s = EXACT.divide(Decimal(alive_us * memory_mb), Decimal(US_PER_S * MB_PER_GB))
    return (
        case.rates.line(f"knative.vcpu.{node}", vcpu_s(alive_us, POD_VCPU_MILLI)),
        case.rates.line(f"knative.memory.{node}", gb_s),
    )


def _on_demand(case: Case, kind: str) -> Option:
    hours = sum(_nodes_by_hour(case))
    lines = [case.rates.line(f"ec2.{kind}.xlarge", hours)]
    return _nodes(case, kind, "nodes on demand", lines)


def _spot(case: Case, kind: str) -> Option:
    hours = sum(_nodes_by_hour(case))
    lines = [case.rates.line(f"ec2.{kind}.vcpu.spot", hours * NODE_VCPUS)]
    return _nodes(case, kind, "spot nodes", lines, "what an interruption costs")


def _committed(case: Case, kind: str) -> Option:
    """One-year nodes for the base load and on-demand ones for peaks, chosen by price."""
    year = case.rates.row(f"ec2.{kind}.vcpu.1y").rate
    demand = case.rates.row(f"ec2.{kind}.vcpu").rate
    mix = cheapest_mix(_nodes_by_hour(case), year, demand)
    if not mix.committed:
        raise Unfit("no node is needed in enough hours to commit to it for a year")
    lines = [case.rates.line(f"ec2.{kind}.vcpu.1y", mix.committed_hours * NODE_VCPUS)]
    if mix.on_demand_hours:
        lines.append(case.rates.line(f"ec2.{kind}.vcpu", mix.on_demand_hours * NODE_VCPUS))
    peaks = ", peaks on demand" if mix.on_demand_hours else ""
    profile = f"{mix.committed} for a year{peaks}"
    return _nodes(case, kind, profile, lines)


def _nodes_by_hour(case: Case) -> list[int]:
    service_us = case.mean_service_us(case.work.service_us(POD_VCPU_MILLI))
    return case.machines_by_hour(service_us, NODE_VCPUS)


def _nodes(case: Case, kind: str, profile: str, lines: list[Line], *not_covered: str) -> Option:
    service_us = case.work.service_us(POD_VCPU_MILLI)
    count, calls_max, _ = case.machines(case.mean_service_us(service_us), NODE_VCPUS)
    hours = sum(_nodes_by_hour(case))
    busy_us = case.mean_service_us(service_us) * case.traffic.calls_month
    run = case.run(service_us, Fixed(NODE_VCPUS * count))
    memory_gb = case.assumptions.number("node.memory-gb")
    if case.work.needed_mb * NODE_VCPUS > memory_gb * MB_PER_GB:
        raise Unfit(f"{NODE_VCPUS} pods of it need more than a node's {memory_gb} GB")
    return Option(
        platform="Knative",
        profile=f"{kind}.xlarge, {profile}",
        family="Knative",
        calls_month=case.traffic.calls_month,
        standing=(
            *lines,
            case.rates.line("ebs.gp3", count * case.assumptions.number("machine.disk-gb")),
        ),
        memory_mb=int(memory_gb * MB_PER_GB),
        vcpu_milli=NODE_VCPUS * 1000,
        arch=ARCHS[kind],
        millis=millis_of(run),
        cold_share=0.0,
        utilisation=busy_us / (hours * NODE_VCPUS * 3600 * US_PER_S),
        instances=count,
        calls_max_month=calls_max * hours / (count * HOURS_PER_MONTH),
        assumptions=(
            "calls.same-speed",
            "machine.utilisation",
            "machine.disk-gb",
            "node.memory-gb",
        ),
        not_covered=(*NOT_COVERED, *not_covered),
    )
