"""Batch jobs on Function Compute: one bucket for files, results and requests that can wait."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farthing.deployment.alibaba.shape import Fault
from farthing.deployment.alibaba.triggers import OssTrigger, TimerTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farthing.deployment.alibaba.models import FunctionProps

BATCH = "batch"
ASKING = ("classify", "embed")
ENVIRONMENT = "environmentVariables.FARTHING_"
# What arrives, and the ending it has; a file's may be any that can be read.
ARRIVES = {"in/": "", "jobs/in/": ".json", "jobs/batches/in/": ".json"}
# Shorter pays for calls that find nothing; longer keeps waiting what waits.
EVERY, EVERY_MINUTES = re.compile(r"@every (\d+)m"), range(5, 61)
ADDRESS = re.compile(
    r"oss://(?P<bucket>[^/?]+)/(?P<folder>[a-z]+)\?region=(?P<region>[a-z0-9-]+)"
    r"&endpoint=https://oss-(?P<near>[a-z0-9-]+)-internal\.aliyuncs\.com"
)


def batch_faults(functions: Mapping[str, FunctionProps]) -> Iterator[tuple[str, Fault]]:
    """What would be taken and never done, or done over and over; each with its function."""
    batch = functions.get(BATCH)
    for name in ASKING:
        props = functions.get(name)
        if props is not None:
            yield from ((name, it) for it in _asking(props, batch))
    if batch is None:
        return
    triggers = [it for it in batch.triggers if isinstance(it, OssTrigger)]
    buckets = {it.source_arn.rpartition(":")[2] for it in triggers}
    for variable, folder in (("BATCH_OUT", "out"), ("JOBS", "jobs")):
        for fault in _address(batch, variable, folder, buckets):
            yield BATCH, fault
    found = {
        it.trigger_config.filter.key.prefix: it.trigger_config.filter.key.suffix for it in triggers
    }
    for prefix, suffix in ARRIVES.items():
        if found.get(prefix) != suffix:
            says = (
                f"No trigger tells of what comes below {prefix} and ends in {suffix or 'anything'}."
            )
            yield BATCH, Fault("triggers", says, "Restore it.")
    if set(found) - ARRIVES.keys() or len(triggers) != len(ARRIVES):
        says = "A trigger more would call it for what it writes itself."
        yield BATCH, Fault("triggers", says, f"Keep those of {', '.join(ARRIVES)}.")
    yield from ((BATCH, it) for it in _clock(batch))
    if not batch.async_invoke_config.max_async_retry_attempts:
        at = "asyncInvokeConfig.maxAsyncRetryAttempts"
        says = "A call that is cut off leaves shards undone, and nobody goes on with them."
        yield BATCH, Fault(at, says, "Write 3.")


def _clock(batch: FunctionProps) -> Iterator[Fault]:
    for it in batch.triggers:
        if isinstance(it, TimerTrigger) and it.trigger_config.enable:
            every = EVERY.fullmatch(it.trigger_config.cron_expression)
            if every is not None and int(every[1]) in EVERY_MINUTES:
                return
    says = "No timer calls it every 5 to 60 minutes for webhooks that failed."
    yield Fault("triggers", says, "Restore it, with @every 15m.")


def _asking(props: FunctionProps, batch: FunctionProps | None) -> Iterator[Fault]:
    """Those that take requests keep them where batch looks, and may do no more."""
    jobs = props.environment_variables.get("FARTHING_JOBS")
    if batch is None:
        if jobs is not None:
            says = "Requests are kept, and nothing here answers them."
            yield Fault(f"{ENVIRONMENT}JOBS", says, "Add batch.")
        return
    if jobs != batch.environment_variables.get("FARTHING_JOBS"):
        says = f"It is {jobs!r}, and batch answers other requests."
        yield Fault(f"{ENVIRONMENT}JOBS", says, "Let all of them name the same.")
    if props.role is None or props.role == batch.role:
        says = "It needs a role that may keep requests, and not one that may do all of batch's."
        yield Fault("role", says, "Name a role for jobs/ alone.")


def _address(
    props: FunctionProps, variable: str, folder: str, buckets: set[str]
) -> Iterator[Fault]:
    at, given = ENVIRONMENT + variable, props.environment_variables.get(f"FARTHING_{variable}", "")
    match = ADDRESS.fullmatch(given)
    if match is None or match["folder"] != folder:
        says = f"It is {given!r}, and no folder {folder} of a bucket, reached from inside."
        yield Fault(at, says, "Write oss://BUCKET/FOLDER?region=…&endpoint=… (internal).")
    elif {match["bucket"]} != buckets:
        says = f"It lies in {match['bucket']}, and {', '.join(sorted(buckets))} is watched."
        yield Fault(at, says, "Keep all in one bucket.")
    elif {match["region"], match["near"]} != {props.region}:
        says = f"The address is in {match['region']}, the function in {props.region}."
        yield Fault(at, says, "Keep both in one region.")
