"""The image of batch: it reads every kind of file, does a job on a read-only root, and refuses."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import yaml

from tests.deployment.images.container import engine_says
from tests.deployment.images.test_answers import HTTP_PORT, KNATIVE
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.deployment.images.container import Container

    Image = Callable[..., str]
    Start = Callable[..., Container]

ENVIRON = {**KNATIVE, "FARTHING_MEMORY_MB": "2048", "FARTHING_BATCH_OUT": "/tmp/out"}
ROWS = 50
JOB = """
import json, os, sys
from farthing.batch.engines import get_engine
from farthing.batch.interruption import Stop
from farthing.batch.jobs import JobRequest, create_job
from farthing.batch.running import run_job
from farthing.settings import read_settings

def main():
    settings = read_settings(os.environ)
    asked = JobRequest(uris=("/data/rows.csv.gz",), task=sys.argv[1], text="text", id="id",
                       out=f"/tmp/{sys.argv[1]}", out_format="parquet", shard_rows=20)
    opened = create_job(asked, settings)
    engine = get_engine("local", settings, workers=1)
    done = run_job(opened, engine, settings, lambda _event: None, Stop())
    print(json.dumps([done.rows_in, done.rows_out, len(opened.plan.shards)]))

# The engine starts its workers afresh, and they read this file too.
if __name__ == "__main__":
    main()
"""


def test_it_does_a_job_for_each_of_its_tasks(image: Image, start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    lines = "".join(f"{number},usb c charger {number} w\n" for number in range(ROWS))
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(f"id,text\n{lines}".encode()))
    (tmp_path / "job.py").write_text(JOB)
    container = start(
        image("batch", "http-image"), environ=ENVIRON, mount=f"{tmp_path}:/data",
        cpus=1.0, memory_mb=2048,
    )  # fmt: skip
    for task in ("classify", "embed"):
        said = engine_says("podman", "exec", container.id, "python3", "/data/job.py", task)
        assert json.loads(said.splitlines()[-1]) == [ROWS, ROWS, 3]
    read = "print(pyarrow.parquet.read_table('/tmp/embed/part-00000.parquet').shape)"
    assert container.python(f"import pyarrow.parquet; {read}").strip() == "(20, 2)"
    # Readers of buckets, and the client of queues.
    container.python("import boto3, s3fs, aws_lambda_powertools")


def test_the_shipped_job_ends_with_what_its_failure_policy_knows(
    image: Image, start: Start, tmp_path: Path
) -> None:
    documents = yaml.safe_load_all((ROOT / "knative/overlays/batch/sink.yaml").read_text())
    (sink,) = [it for it in documents if it["kind"] == "JobSink"]
    job = sink["spec"]["job"]["spec"]
    (refused,) = job["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]
    tmp_path.chmod(0o755)
    (tmp_path / "event").write_text('{"specversion": "1.0", "type": "shop.opened", "data": {}}')
    command = job["template"]["spec"]["containers"][0]["command"]
    container = start(
        image("batch", "http-image"),
        *command[1:],
        entrypoint=command[0], environ=ENVIRON, mount=f"{tmp_path}:/etc/jobsink-event",
        cpus=1.0, memory_mb=2048,
    )  # fmt: skip
    status = engine_says("podman", "wait", container.id).strip()
    assert (int(status), "Traceback" in container.log) == (refused, False), container.log
    assert "farthing: " in container.log


def test_over_http_it_refuses_what_is_no_event(image: Image, start: Start) -> None:
    container = start(image("batch", "http-image"), environ=ENVIRON, cpus=1.0, memory_mb=2048)
    status, answer = container.ask(f"http://127.0.0.1:{HTTP_PORT}/", json.dumps({"a": 1}))
    assert (status, answer["status"]) == (422, "refused")
