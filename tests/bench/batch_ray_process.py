"""The Ray engine over a folder of CSV files, timed as its peer is. Run by `batch_ray`.

Arguments: the folder, a folder to write to, the task, how many actors, how many rows a shard has.
Prints JSON: seconds from a running Ray to the last checkpoint, planning included.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import ray

from farthing.batch.engines.ray import RayEngine
from farthing.batch.interruption import Stop
from farthing.batch.jobs import JobRequest, create_job
from tests.bench.batch_jobs import local_settings


def main() -> None:
    source, out, task, actors, rows = sys.argv[1:]
    settings = local_settings()
    ray.init(
        "local",
        num_cpus=2 * int(actors),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    started_s = time.monotonic()
    request = JobRequest(
        uris=(f"{source}/*.csv",),
        task=task,
        text="text",
        id="id",
        out=out,
        out_format="parquet" if task == "embed" else "jsonl",
        shard_rows=int(rows),
    )
    opened = create_job(request, settings)
    RayEngine(settings, int(actors)).run(opened, opened.missing(), lambda _: None, Stop())
    taken_s = time.monotonic() - started_s
    ray.shutdown()
    if opened.missing():
        sys.exit("not every shard was done")
    print(json.dumps({"taken_s": taken_s}))


if __name__ == "__main__":
    main()
