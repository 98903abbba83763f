"""`farthing batch resume`: a job that was stopped, to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.batch.going import (
    EngineName,
    RejectedMax,
    Spot,
    Way,
    Workers,
    go_on,
    place_of,
    settings_of,
)
from farthing.cli.options import AsJson, Ledger, MemoryMb, Models, Platform, PricedAs, VcpuMilli

if TYPE_CHECKING:
    from farthing.batch.jobs import Opened
    from farthing.cli.batch.progress import Progress

Address = Annotated[
    str,
    typer.Argument(metavar="DIR", help="Where the job's output goes, as `run` was told in --out."),
]


def resume(
    out: Address,
    engine: EngineName = "local",
    workers: Workers = None,
    spot: Spot = False,
    rejected_max: RejectedMax = None,
    models: Models = None,
    platform: Platform = PricedAs.LAMBDA,
    memory_mb: MemoryMb = None,
    vcpu_milli: VcpuMilli = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a job that was stopped or killed, on this engine or another.

    What is done stays and is not billed again; only what is missing is scored. The input must be
    what it was when the job was planned. A job that has ended is told of once more.

    Try: [b]farthing batch resume scored --workers 2[/b]
    """
    settings = settings_of(platform, models, memory_mb, vcpu_milli)

    def reopen(_shown: Progress) -> Opened:
        import msgspec

        from farthing.batch.jobs import Opened, open_job

        found = open_job(out)
        # A folder may have been moved since, or a bucket be reached by another way.
        job = msgspec.structs.replace(found.job, out=place_of(out))
        return Opened(job, found.plan, found.storage)

    go_on(reopen, settings, Way(engine, workers, spot, rejected_max, ledger, as_json))
