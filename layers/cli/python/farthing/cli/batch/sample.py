"""What rows of a user's own files take on this machine."""

from __future__ import annotations

import resource
import tempfile
import time
from contextlib import closing
from statistics import median
from typing import TYPE_CHECKING

from farthing.cli.options import local_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.planning.batch.run import BatchWork

TIMED_SHARDS = 3
# A process of the function until it opens its bundle: the interpreter and what it imports, of which
# the clients of bucket and queue are 740 ms.
IMPORTS_MS = 1_000.0
KB_PER_MB = 1024


def count_and_time(
    files: Sequence[str], task: str, text: str, bundle: str, sample_rows: int
) -> tuple[int, BatchWork]:
    """How many rows the files have, and what one takes here: read, scored and written.

    Up to three times `sample_rows` rows are scored, by one thread, into a folder that goes again.
    Raises as planning a job does.
    """
    from farthing.batch.inputs import Reader
    from farthing.batch.jobs import JobRequest, create_job
    from farthing.batch.scoring import Scorer
    from farthing.batch.shards import ShardRunner
    from farthing.planning.batch.run import BatchWork

    settings = local_settings()
    with tempfile.TemporaryDirectory(prefix="farthing-") as folder:
        request = JobRequest(
            uris=tuple(files),
            task=task,
            text=text,
            out=folder,
            model=bundle,
            shard_rows=sample_rows,
        )
        opened = create_job(request, settings)
        job, shards = opened.job, opened.plan.shards
        started_ns = time.perf_counter_ns()
        scorer = Scorer.open(job, settings)
        scorer.score(["A text that every model can read."])
        start_ms = (time.perf_counter_ns() - started_ns) / 1e6
        with closing(Reader(job)) as reader:
            runner = ShardRunner(job, opened.storage, scorer, reader, settings)
            row_ms = []
            for shard in shards[:TIMED_SHARDS]:
                done = runner.run(shard, request_id="sample")
                row_ms.append(done.usage.busy_ns / 1e6 / done.rows_in)
    timed = sum(shard.rows for shard in shards[:TIMED_SHARDS])
    work = BatchWork(
        name=job.model,
        task=job.task,
        row_ms=round(median(row_ms), 6),
        start_ms=round(IMPORTS_MS + start_ms, 1),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KB_PER_MB,
        source=f"measured here on {timed:,} of the rows, one thread",
    )
    return sum(shard.rows for shard in shards), work
