"""Jobs to measure: product titles in a file, and what runs their shards."""

from __future__ import annotations

import csv
import shutil
import time
from typing import TYPE_CHECKING

from farthing.batch.inputs import Reader
from farthing.batch.jobs import JobRequest, create_job
from farthing.batch.scoring import Scorer
from farthing.batch.shards import ShardRunner
from farthing.settings import read_settings
from tests.bench.surroundings import LOCAL, data, environment, read_rows, skip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

CATALOGUE = "product-search/catalogue.tsv.gz"
NS_PER_S = 1e9


def titles(count: int, bench: str) -> list[str]:
    """Titles from all over the catalogue; none, with a word on why, where there is no data."""
    catalogue = data(CATALOGUE)
    if catalogue is None:
        skip(bench, f"FARTHING_DATA holds no {CATALOGUE}")
        return []
    found = [row["title"] for row in read_rows(catalogue)]
    return found[:: max(1, len(found) // count)][:count]


def write_table(file: Path, texts: Sequence[str]) -> Path:
    """A CSV file with the columns `id` and `text`."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(("id", "text"))
        rows.writerows((f"row-{number:07d}", text) for number, text in enumerate(texts))
    return file


def local_settings() -> Settings:
    return read_settings(environment(LOCAL))


def open_fresh(
    source: Path, out: Path, task: str, shard_rows: int, out_format: str = "jsonl", model: str = ""
) -> Opened:
    """The job, planned, with nothing done yet."""
    shutil.rmtree(out, ignore_errors=True)
    request = JobRequest(
        uris=(str(source),),
        task=task,
        text="text",
        id="id",
        model=model or None,
        out=str(out),
        out_format=out_format,
        shard_rows=shard_rows,
    )
    return create_job(request, local_settings())


class OneWorker:
    """The bundle of a job's task, opened once, as a worker has it."""

    def __init__(self, opened: Opened) -> None:
        self.settings = local_settings()
        self.scorer = Scorer.open(opened.job, self.settings)

    def run_s(self, opened: Opened) -> float:
        """Seconds in which all shards of the job are read, scored, written and checkpointed."""
        reader = Reader(opened.job)
        runner = ShardRunner(opened.job, opened.storage, self.scorer, reader, self.settings)
        started_ns = time.perf_counter_ns()
        for shard in opened.plan.shards:
            runner.run(shard, request_id="bench")
        return (time.perf_counter_ns() - started_ns) / NS_PER_S
