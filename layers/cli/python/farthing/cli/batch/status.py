"""`farthing batch status`: how far a job is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from farthing.cli.batch.resume import Address
from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from farthing.batch.jobs import Opened

NEEDED = ("fsspec", "pyarrow", "rich")


def status(out: Address, as_json: AsJson = False) -> None:
    """Say how far a job is: shards and rows done, rejected, missing, and how often it was stopped.

    It reads what lies in DIR and disturbs nobody who works on it.

    Try: [b]farthing batch status scored[/b]
    """
    require_extra("batch", NEEDED)
    from farthing.batch.jobs import open_job

    opened = open_job(out)
    told = _told(opened)
    if as_json:
        import json

        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        from farthing.cli.batch.showing import show_status

        show_status(told)


def _told(opened: Opened) -> dict[str, object]:
    """The state of a job, as `--json` prints it."""
    from farthing.batch.interruption import interruptions, placement
    from farthing.batch.manifest import read_manifest

    job, shards = opened.job, opened.plan.shards
    done = opened.done()
    missing = [shard.number for shard in shards if shard.number not in done]
    manifest = read_manifest(opened)
    stopped = interruptions(opened.storage)
    return {
        "job": job.id,
        "state": "finished" if manifest else "unfinished",
        "task": job.task,
        "model": job.model,
        "out": opened.storage.url,
        "shards": len(shards),
        "shards_done": len(done),
        "shards_missing": missing,
        "rows": sum(shard.rows for shard in shards),
        "rows_in": sum(one.rows_in for one in done.values()),
        "rows_out": sum(one.rows_out for one in done.values()),
        "rows_rejected": sum(one.rows_rejected for one in done.values()),
        "tokens": sum(one.usage.prompt_tokens for one in done.values()),
        "interruptions": stopped.count,
        "last_interruption": stopped.reasons[-1] if stopped.reasons else None,
        "placement": placement(opened.storage),
        "charge": manifest.charge if manifest else None,
    }
