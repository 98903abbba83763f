"""A job on a terminal: what it came to, how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.batch.job import Job
    from farthing.batch.manifest import Manifest

NS_PER_S = 1e9
MISSING_SHOWN_MAX = 12


def show_manifest(manifest: Manifest, place: str) -> None:
    """What a finished job came to and what it is sold for."""
    job, charge = manifest.job, manifest.charge
    files: dict[str, object] = {
        "rows": f"{manifest.rows_in:,} in, {manifest.rows_out:,} out, "
        f"{manifest.rows_rejected:,} rejected",
        "files": f"{len(job.inputs):,} read, {len(manifest.shards):,} written as {_parts(job)}",
        "tokens": f"{manifest.tokens:,}, {manifest.truncated:,} texts cut off",
        "busy": f"{manifest.busy_ns / NS_PER_S:,.1f} s of workers, "
        f"{_pace(manifest.rows_in, manifest.busy_ns)} rows/s each",
        "price": f"{charge['total']} USD ({charge['basis']}, price book {charge['price_book']}), "
        f"for {job.tenant}",
        "manifest": f"{place}/manifest.json",
    }
    _print(f"{job.task} by {job.model}, job {job.id}", files)


def show_status(told: Mapping[str, Any]) -> None:
    """How far a job is."""
    facts: dict[str, object] = {
        "state": told["state"],
        "shards": f"{told['shards_done']:,} of {told['shards']:,} done",
        "rows": f"{told['rows_in']:,} of {told['rows']:,} done: {told['rows_out']:,} out, "
        f"{told['rows_rejected']:,} rejected",
        "stopped": f"{told['interruptions']:,} times; the rest is for {told['placement']} machines",
    }
    if told["shards_missing"]:
        facts["missing"] = _some(told["shards_missing"])
        facts["go on"] = f"farthing batch resume {told['out']}"
    if told["charge"]:
        facts["price"] = f"{told['charge']['total']} USD ({told['charge']['basis']})"
    _print(f"{told['task']} by {told['model']}, job {told['job']}", facts)


def _parts(job: Job) -> str:
    return f"part-*.{job.out_format}"


def _some(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:MISSING_SHOWN_MAX])
    more = len(numbers) - MISSING_SHOWN_MAX
    return f"shards {shown}" + (f" and {more:,} more" if more > 0 else "")


def _pace(rows: int, busy_ns: int) -> str:
    return f"{rows / (busy_ns / NS_PER_S):,.0f}" if busy_ns else "-"


def _print(title: str, facts: Mapping[str, object]) -> None:
    from rich.console import Console

    from farthing.cli.tables import facts_table

    Console(highlight=False).print(facts_table(title, facts))
