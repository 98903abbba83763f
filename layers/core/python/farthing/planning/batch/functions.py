"""A batch on functions: a shard to an invocation, and as many at once as there may be.

The price is the same however many run side by side.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.meter import Meter
from farthing.billing.quantities import NOTHING
from farthing.billing.tariff import Tariff
from farthing.money import EXACT
from farthing.planning.batch.ways import S_PER_HOUR, Way
from farthing.planning.errors import Unfit
from farthing.settings import LAMBDA_MB_PER_VCPU
from farthing.usage import Usage

if TYPE_CHECKING:
    from farthing.billing.meter import Line
    from farthing.planning.batch.ways import Setting

NS_PER_US, US_PER_S = 1000, 1_000_000
MEMORY_STEP_MB, FC_MEMORY_MIN_MB = 64, 1024
FC_REGION = "international"
# What a child of a Distributed Map holds while it waits for its function, at least.
EXPRESS_GB = Decimal("0.0625")
SQS_REQUESTS = 3
PARENT_TRANSITIONS = 4


def lambda_way(setting: Setting, arch: str) -> Way:
    """A vCPU each, a shard to an invocation; each environment's start is billed."""
    run = setting.run
    memory_mb = max(LAMBDA_MB_PER_VCPU, run.work.needed_mb)
    if run.shard_us > setting.assumptions.us("batch.function-s"):
        raise Unfit(f"a shard of {run.shard_rows:,} rows takes longer than a function may run")
    tariff = Tariff("lambda", setting.rates.region, arch)
    lines = _attempts(setting, tariff, memory_mb, 1000)
    queue = setting.rates.line("sqs.standard", run.shards * SQS_REQUESTS)
    profile = f"{arch}, {memory_mb:,} MB, by a queue"
    return _function(setting, "AWS Lambda", profile, "lambda.start", (*lines, queue))


def stepped_way(setting: Setting, arch: str) -> Way:
    """The same by a Distributed Map, whose children are Express workflows of a shard each."""
    by_queue = lambda_way(setting, arch)
    run, rates = setting.run, setting.rates
    gb_us = EXACT.multiply(Decimal(run.compute_us), EXPRESS_GB)
    gb_hours = gb_us / (US_PER_S * S_PER_HOUR)
    return msgspec.structs.replace(
        by_queue,
        profile=by_queue.profile.replace("by a queue", "by Step Functions"),
        lines=(
            *by_queue.lines[:-1],
            rates.line("sfn.standard", PARENT_TRANSITIONS),
            rates.line("sfn.express.requests", run.shards),
            rates.line("sfn.express.duration", gb_hours.quantize(Decimal("1e-9"))),
        ),
    )


def fc_way(setting: Setting) -> Way:
    """An instance of one vCPU to a shard, with the least memory that goes with it."""
    memory_mb = max(
        FC_MEMORY_MIN_MB, -(-setting.run.work.needed_mb // MEMORY_STEP_MB) * MEMORY_STEP_MB
    )
    tariff = Tariff("fc", FC_REGION, "x86_64")
    lines = _attempts(setting, tariff, memory_mb, 1000)
    return _function(
        setting,
        "Function Compute",
        f"1 vCPU, {memory_mb:,} MB",
        "fc.start",
        lines,
        "the queue, logs and the image registry, for which the price book has no row",
    )


def _function(
    setting: Setting,
    platform: str,
    profile: str,
    start: str,
    lines: tuple[Line, ...],
    *not_covered: str,
) -> Way:
    run = setting.run
    workers = _at_once(setting)
    start_us = round(run.work.start_ms * 1000) + setting.assumptions.us(start)
    elapsed_s = run.elapsed_s(workers, start_us)
    return Way(
        platform=platform,
        profile=profile,
        workers=workers,
        hours=elapsed_s / S_PER_HOUR,
        lines=lines,
        in_time=run.deadline_s is None or elapsed_s <= run.deadline_s,
        assumptions=("calls.same-speed", "batch.at-once", "batch.function-s", start),
        not_covered=("reading and writing the bucket", *not_covered),
    )


def _at_once(setting: Setting) -> int:
    return min(int(setting.assumptions.number("batch.at-once")), setting.run.shards)


def _attempts(
    setting: Setting, tariff: Tariff, memory_mb: int, vcpu_milli: int
) -> tuple[Line, ...]:
    """All shards, counted as the meter counts attempts: the first of each environment with its
    start, the last with the rows that are left."""
    run = setting.run
    meter = Meter(setting.rates.book, tariff, "quoted")
    cold = _at_once(setting)
    last_rows = run.rows - (run.shards - 1) * run.shard_rows

    def usage(rows: int, *, starts: bool) -> Usage:
        return Usage(
            prompt_tokens=0,
            truncated=0,
            busy_ns=run.work.rows_us(rows) * NS_PER_US,
            init_ns=round(run.work.start_ms * 1_000_000) if starts else 0,
            memory_mb=memory_mb,
            vcpu_milli=vcpu_milli,
            disk_mb=512,
            cold=starts,
        )

    whole_cold = min(cold, run.shards - 1)
    counted = NOTHING
    for rows, count, starts in (
        (run.shard_rows, whole_cold, True),
        (run.shard_rows, run.shards - 1 - whole_cold, False),
        (last_rows, 1, cold > whole_cold),
    ):
        counted = counted.plus(meter.quantities(usage(rows, starts=starts)).times(count))
    return tuple(meter.lines(counted))
