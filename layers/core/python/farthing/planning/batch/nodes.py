"""A batch on machines: as many as the deadline needs, or one of them without a deadline."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.planning.batch.ways import S_PER_HOUR, Way

if TYPE_CHECKING:
    from farthing.planning.batch.ways import Setting

NODE_VCPUS = 4


def knative_way(setting: Setting) -> Way:
    """Whole spot nodes of four vCPU, a worker on each, from their start to the last row."""
    return _nodes(setting, "Knative", "c7g.xlarge spot, from zero", "batch.node-start")


def ray_way(setting: Setting) -> Way:
    """Spot workers, and a head on demand that does none of the work."""
    way = _nodes(setting, "Ray", "c7g.xlarge spot", "batch.ray-start")
    head = setting.rates.line("ec2.c7g.xlarge", _hours(way.hours))
    return msgspec.structs.replace(
        way, profile=f"{way.profile}, a head on demand", lines=(*way.lines, head)
    )


def machine_way(setting: Setting) -> Way:
    """No cluster: a machine that is rented, runs `farthing batch run`, and goes."""
    run = setting.run
    start_us = setting.assumptions.us("batch.node-start") + round(run.work.start_ms * 1000)
    elapsed_s = run.elapsed_s(NODE_VCPUS, start_us)
    return Way(
        platform="EC2",
        profile="one c7g.xlarge on demand",
        workers=NODE_VCPUS,
        hours=elapsed_s / S_PER_HOUR,
        lines=(setting.rates.line("ec2.c7g.xlarge", _hours(elapsed_s / S_PER_HOUR)),),
        in_time=run.deadline_s is None or elapsed_s <= run.deadline_s,
        assumptions=("calls.same-speed", "batch.node-start"),
        not_covered=("whoever starts and stops it",),
    )


def _nodes(setting: Setting, platform: str, profile: str, start: str) -> Way:
    """As many nodes as the deadline needs; without one, or where none meets it, as told above."""
    run, number = setting.run, setting.assumptions.number
    start_us = setting.assumptions.us(start) + round(run.work.start_ms * 1000)
    most = int(number("batch.vcpus-most"))
    # A shard that an interruption takes is done again, by half on average.
    again = 1 + float(number("batch.interrupted")) / 2
    wanted = run.workers_for(start_us, most, again)
    if wanted is None:
        wanted = NODE_VCPUS if run.deadline_s is None else min(most, run.shards)
    nodes = -(-wanted // NODE_VCPUS)
    workers = min(nodes * NODE_VCPUS, run.shards)
    elapsed_s = run.elapsed_s(workers, start_us) * again
    spot_hours = _hours(nodes * NODE_VCPUS * elapsed_s / S_PER_HOUR)
    return Way(
        platform=platform,
        profile=f"{nodes} × {profile}",
        workers=workers,
        hours=elapsed_s / S_PER_HOUR,
        lines=(setting.rates.line("ec2.c7g.vcpu.spot", spot_hours),),
        in_time=run.deadline_s is None or elapsed_s <= run.deadline_s,
        assumptions=("calls.same-speed", start, "batch.interrupted", "batch.vcpus-most"),
        not_covered=("the cluster's control plane", "disks"),
    )


def _hours(hours: float) -> Decimal:
    """Rounded up to a second, as EC2 bills."""
    seconds = -(-Decimal(str(hours)) * S_PER_HOUR // 1)
    return (seconds / S_PER_HOUR).quantize(Decimal("1e-9"))
