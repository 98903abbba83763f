"""Jobs on written files, run in this process: shards, parts and checkpoints without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.batch.inputs import Reader
from farthing.batch.jobs import JobRequest, create_job
from farthing.batch.scoring import Scorer
from farthing.batch.shards import ShardRunner
from farthing.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.batch.job import Done
    from farthing.batch.jobs import Opened


def settings_for(models: Path, **stated: Any) -> Settings:
    """Settings of this machine, as if on Lambda with 1,769 MB."""
    return read_settings({}, models=models, platform="lambda", memory_mb=1769, **stated)


def request_for(file: Path | str, out: Path | str, **stated: Any) -> JobRequest:
    """A request to classify the column `text` of a file."""
    wanted: dict[str, Any] = {
        "uris": (str(file),),
        "task": "classify",
        "model": "product-classifier",
        "text": "text",
        "id": "id",
        "out": str(out),
        "shard_rows": 100,
    }
    return JobRequest(**{**wanted, **stated})


def opened_for(file: Path | str, out: Path | str, settings: Settings, **stated: Any) -> Opened:
    """The job of such a request, planned."""
    return create_job(request_for(file, out, **stated), settings)


def runner_of(opened: Opened, settings: Settings, scorer: Scorer | None = None) -> ShardRunner:
    """Runs the job's shards as a worker does."""
    job = opened.job
    scorer = scorer or Scorer.open(job, settings)
    return ShardRunner(job, opened.storage, scorer, Reader(job), settings)


def run_all(
    opened: Opened,
    settings: Settings,
    scorer: Scorer | None = None,
    order: Sequence[int] | None = None,
) -> dict[int, Done]:
    """What every shard came to; `order` is by number."""
    runner = runner_of(opened, settings, scorer)
    shards = opened.plan.shards
    numbers = range(len(shards)) if order is None else order
    return {number: runner.run(shards[number], request_id=f"r-{number}") for number in numbers}


def output(opened: Opened, kind: str = "part-") -> bytes:
    """All parts, or all rejected rows, one after the other."""
    return b"".join(opened.storage.read(name) for name in opened.storage.names(kind))
