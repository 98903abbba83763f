"""The Ray engine on a cluster, started as a machine of one is, with everything in a bucket."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from farthing.batch.interruption import INTERRUPTIONS_MAX, interruptions
from farthing.batch.jobs import JobRequest, create_job
from tests.batch.chaos import clean_environ
from tests.batch.cloud import REGION, Cloud, cloud_running, csv_of
from tests.batch.jobs import settings_of
from tests.batch.test_ray import drive, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

RAY = Path(sys.executable).with_name("ray")
START_S_MAX = 240
STEADY = 10
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


@pytest.fixture(scope="module")
def cluster(cloud: Cloud, models_dir: Path) -> Iterator[tuple[str, int]]:
    """The address of a cluster of one machine, and the process that is its root."""
    # A short path of its own: Ray's sockets lie there, and what tells others of a cluster here.
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="r") as files:
        # Both sides have the secret in their environment, as a cluster's pods have it.
        for name, value in {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }.items():
            patch.setenv(name, value)
        environ = clean_environ(
            RAY_TMPDIR=files,
            FARTHING_PLATFORM="knative",
            FARTHING_MEMORY_MB="2048",
            FARTHING_VCPU_MILLI="1000",
            FARTHING_NODE="c7g.xlarge.spot",
            FARTHING_MODELS=str(models_dir),
        )
        command = [
            *(str(RAY), "start", "--head", "--block", "--port=0", "--num-cpus=2"),
            *("--include-dashboard=false", "--object-store-memory=80000000"),
            *("--resources", json.dumps({"on_demand": STEADY}), "--disable-usage-stats"),
        ]
        with Path(files, "log").open("wb") as log:
            head = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _address(head, Path(files, "log")), head.pid
        finally:
            _end(head)


def _end(head: subprocess.Popen[bytes]) -> None:
    """Ends the cluster and all of its processes, which write to its files to the last."""
    processes = psutil.Process(head.pid).children(recursive=True)
    head.terminate()
    head.wait(START_S_MAX)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=START_S_MAX)


def _address(head: subprocess.Popen[bytes], log: Path) -> str:
    """What `ray start` says to join by."""
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s and head.poll() is None:
        whole, _, _ = log.read_text(encoding="utf-8", errors="replace").rpartition("\n")
        for line in whole.splitlines():
            if "--address=" in line:
                return line.partition("--address=")[2].strip("' \x1b[0m")
        time.sleep(0.1)
    raise RuntimeError(f"ray start gave no address: {log.read_text(errors='replace')[-2000:]}")


def test_after_interruptions_workers_go_where_nobody_takes_them_and_nothing_is_lost(
    cloud: Cloud, cluster: tuple[str, int], models_dir: Path
) -> None:
    address, root_pid = cluster
    bucket, rows = cloud.bucket(), 12_000
    cloud.put(bucket, "in/rows.csv", csv_of(rows))
    where = f"?region={REGION}&endpoint={cloud.endpoint}"
    request = JobRequest(
        uris=(f"s3://{bucket}/in/rows.csv{where}",),
        task="classify",
        model="product-classifier",
        text="text",
        id="id",
        out=f"s3://{bucket}/out{where}",
        shard_rows=1_000,
    )
    opened = create_job(request, settings_of(models_dir))
    run: dict[str, Any] = {
        "out": opened.job.out,
        "models": str(models_dir),
        "address": address,
        "root_pid": root_pid,
        "kill_at": (1, 4, 7),
    }
    told = drive(run)["runs"][0]
    assert told["raised"] is None
    assert {1, 4, 7} <= set(numbers(told, "Lost"))
    assert interruptions(opened.storage).count >= INTERRUPTIONS_MAX
    assert told["placement"] == "on-demand"
    assert told["steady"] < STEADY, "no worker asked for a machine that stays"

    ids = [json.loads(line)["id"] for line in told["rows"].splitlines()]
    assert ids == [f"r{number}" for number in range(rows)]
    done = opened.done()
    assert sorted(done) == list(range(12))
    # Each shard has the price of the machine that did it, which is not the driver's.
    assert {one.tariff.node for one in done.values()} == {"c7g.xlarge.spot"}
    assert os.environ.get("FARTHING_NODE") != "c7g.xlarge.spot"
