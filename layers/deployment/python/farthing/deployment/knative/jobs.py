"""CronJobs: one run at a time, few retries, and no pile of ended pods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farthing.deployment.knative.overlay import dig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.deployment.findings import Finding
    from farthing.deployment.knative.overlay import Overlay
    from farthing.deployment.project import Function

EVERY = re.compile(r"\*/(\d+) \* \* \* \*")
LISTED = re.compile(r"\d+(?:,\d+)* \* \* \* \*")
# Shorter pays for runs that find nothing; longer keeps waiting what waits.
EVERY_MINUTES = (5, 6, 10, 12, 15, 20, 30)


def check_job(
    overlay: Overlay, job: dict[str, Any], function: Function, command: list[str], twice: str
) -> Iterator[Finding]:
    """`twice` completes "It is …, but" where two runs may meet."""
    wanted: list[tuple[str, object, str]] = [
        ("timeZone", "Etc/UTC", "hours and days are UTC's"),
        ("concurrencyPolicy", "Forbid", twice),
        ("jobTemplate.spec.activeDeadlineSeconds", function.timeout_s, "pyproject.toml says so"),
        ("jobTemplate.spec.template.spec.restartPolicy", "Never", "a retry is a pod of its own"),
        ("jobTemplate.spec.template.spec.containers.0.command", command, "that is the job"),
    ]
    for path, value, why in wanted:
        found = dig(job, f"spec.{path}")
        if found != value:
            yield overlay.finding(
                job, f"spec.{path}", f"It is {found!r}, but {why}.", f"Set {value!r}."
            )
    every = EVERY.fullmatch(str(dig(job, "spec.schedule")))
    if every is None or int(every[1]) not in EVERY_MINUTES:
        yield overlay.finding(
            job,
            "spec.schedule",
            f"It is {dig(job, 'spec.schedule')!r}; what waits for the job waits for it.",
            "Write */15 * * * *, or another part of an hour from 5 minutes on.",
        )
    if dig(job, "spec.suspend"):
        yield overlay.finding(job, "spec.suspend", "It would never run.", "Remove it.")
    yield from _check_bounds(overlay, job)


def runs_per_hour(job: dict[str, Any]) -> int:
    """How often its schedule starts it; 0 where that is not in every hour alike."""
    schedule = str(dig(job, "spec.schedule"))
    every = EVERY.fullmatch(schedule)
    if every:
        return 60 // int(every[1])
    return len(set(schedule.split()[0].split(","))) if LISTED.fullmatch(schedule) else 0


def _check_bounds(overlay: Overlay, job: dict[str, Any]) -> Iterator[Finding]:
    """The next run does what this one did not."""
    bounds = {
        "startingDeadlineSeconds": range(60, 901),
        "successfulJobsHistoryLimit": range(4),
        "failedJobsHistoryLimit": range(1, 11),
        "jobTemplate.spec.backoffLimit": range(4),
        "jobTemplate.spec.ttlSecondsAfterFinished": range(60, 604_801),
    }
    for path, may_be in bounds.items():
        found = dig(job, f"spec.{path}")
        if found not in may_be:
            yield overlay.finding(
                job,
                f"spec.{path}",
                f"It is {found}.",
                f"Set a number from {may_be[0]} to {may_be[-1]}.",
            )
