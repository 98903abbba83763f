"""The batch function as a program of its own: a Job's event, and a queue's worker, killed and told
to stop."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.batch.cloud import Cloud, aws_variables, cloud_running, csv_of, entries_of
from tests.batch.functions import environ_of, manifests_in, rows_in
from tests.functions.server import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = [sys.executable, "-m", "functions.batch.app"]
# The same, killed over its fourth shard, right before its checkpoint is there or right after. It
# does so itself: whoever looks on may come when all is done.
DOOMED = """
import os, runpy, signal
from farthing.batch import shards

keep, spared = shards.keep_checkpoint, iter(range(3))

def die(*given):
    if next(spared, None) is None:
        {is_kept} and keep(*given)
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(*given)

shards.keep_checkpoint = die
runpy.run_module("functions.batch.app", run_name="__main__")
"""
# Nothing here measures speed.
ENDS_S = 240
KNATIVE = {"platform": "knative", "memory_mb": "2048", "vcpu_milli": "1000"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


def environment(models: Path, out: Path, **more: str) -> dict[str, str]:
    return clean_environment(environ_of(models, str(out), **KNATIVE, **more) | aws_variables())


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )


def wait_until(condition: Callable[[], Any], timeout_s: float = ENDS_S) -> None:
    ends_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_s, "waited in vain"
        time.sleep(0.02)


def test_a_job_does_the_event_of_its_file_and_says_so(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    record = cloud.put(cloud.bucket(), "in/a.csv", csv_of(3))
    file = tmp_path / "event"
    file.write_text(
        json.dumps({"specversion": "1.0", "id": "1", "type": "com.example.s3", "data": record})
    )
    done = run(environment(models_dir, tmp_path / "out"), str(file))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["batch"][0]["finished"] is True
    assert len(rows_in(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        ('{"sale": 3}', 1, "cannot be read as one that starts a job"),
        (None, 1, "There is no event to read in"),
        ('{"job": "/nowhere/at/all", "shards": [1]}', 1, "There is no planned job"),
        (
            '{"job": "s3://b/out?region=us-east-1&endpoint=http://127.0.0.1:9", "shards": [1]}',
            75,
            "S3",
        ),
    ],
)
def test_a_job_that_fails_says_in_a_sentence_whether_another_try_may_help(
    cloud: Cloud, tmp_path: Path, models_dir: Path, content: str | None, status: int, says: str
) -> None:
    file = tmp_path / "event"
    if content is not None:
        file.write_text(content)
    done = run(environment(models_dir, tmp_path / "out"), str(file))
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_worker_without_a_queue_says_what_to_set(tmp_path: Path, models_dir: Path) -> None:
    environ = clean_environment(environ_of(models_dir, str(tmp_path), **KNATIVE))
    done = run(environ, "--queue")
    assert done.returncode == 1
    assert "FARTHING_BATCH_QUEUE" in done.stderr


def left_on(cloud: Cloud, queue: str) -> int:
    """Messages there, those that somebody holds too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(value) for value in found.values())


def test_of_workers_that_are_killed_others_have_the_work_and_every_row_is_there_once(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, queue, out = cloud.bucket(), cloud.queue(), tmp_path / "out"
    environ = environment(models_dir, out, batch_queue=queue, batch_shard_rows="200")
    for number in range(3):
        record = cloud.put(bucket, f"in/{number}.csv", csv_of(2_000, number * 10_000))
        cloud.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
    output = (tmp_path / "output").open("wb")
    for is_kept in (False, True):
        killed = subprocess.run(
            [sys.executable, "-c", DOOMED.format(is_kept=is_kept), "--queue"],
            cwd=ROOT,
            env=environ,
            stdout=output,
            timeout=ENDS_S,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        # What it held is held for a minute; here somebody looks at once.
        for message in held(cloud, queue):
            assert json.loads(message["Body"]), is_kept
    assert len(list(out.rglob("done/*.json"))) == 7
    done = subprocess.run(
        [*PROGRAM, "--queue", queue, "--exit-when-empty", "1"],
        cwd=ROOT,
        env=environ,
        stdout=output,
        timeout=ENDS_S,
        check=False,
    )
    output.close()
    assert done.returncode == 0
    assert left_on(cloud, queue) == 0
    expected = sorted(f"r{file * 10_000 + row}" for file in range(3) for row in range(2_000))
    assert sorted(row["id"] for row in rows_in(out)) == expected
    assert len(manifests_in(out)) == 3
    lines = (tmp_path / "output").read_text()
    answered = [entry for entry in entries_of(lines) if entry["kind"] == "answer"]
    assert len({(entry["writer"], entry["number"]) for entry in answered}) == 30


def held(cloud: Cloud, queue: str) -> list[dict[str, Any]]:
    """Gives back at once what a dead worker held: moto keeps its messages where a test reaches."""
    from moto.sqs import sqs_backends

    backend = sqs_backends["123456789012"]["us-east-1"]
    found = backend.queues[queue.rsplit("/", 1)[1]]
    for message in found._messages:
        message.visible_at = 0
    return [{"Body": message.body} for message in found._messages]


def test_a_worker_that_is_told_to_stop_gives_its_message_back_at_once(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket, queue, out = cloud.bucket(), cloud.queue(), tmp_path / "out"
    environ = environment(models_dir, out, batch_shard_rows="500")
    record = cloud.put(bucket, "in/a.csv", csv_of(60_000))
    cloud.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
    with subprocess.Popen(
        [*PROGRAM, "--queue", queue], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL
    ) as worker:
        wait_until(lambda: list(out.rglob("part-*")))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(ENDS_S) == 0
    done = len(list(out.rglob("done/*.json")))
    assert 0 < done < 120
    (interruptions,) = out.rglob("interruptions.json")
    assert json.loads(interruptions.read_text())["count"] == 1
    (message,) = cloud.sqs.receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"]) == {"Records": [record]}
    # Nothing half done lies about.
    assert len(list(out.rglob("part-*"))) in {done, done + 1}


def test_what_spot_workers_could_not_end_goes_to_those_that_stay_and_is_billed_there_once(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    spot, on_demand = cloud.queue(), cloud.queue()
    record = cloud.put(cloud.bucket(), "in/a.csv", csv_of(25))
    body = json.dumps({"Records": [record]})
    cloud.sqs.send_message(QueueUrl=spot, MessageBody=body)
    for _ in range(3):
        (message,) = cloud.sqs.receive_message(QueueUrl=spot)["Messages"]
        handle = message["ReceiptHandle"]
        cloud.sqs.change_message_visibility(
            QueueUrl=spot, ReceiptHandle=handle, VisibilityTimeout=0
        )
    ledger = tmp_path / "ledger.db"
    environ = environment(
        models_dir,
        tmp_path / "out",
        batch_shard_rows="10",
        ledger=f"sqlite:///{ledger}",
        spool=str(tmp_path / "spool"),
    )
    done = run(environ, "--queue", spot, "--on-demand", on_demand, "--exit-when-empty", "1")
    assert done.returncode == 0, done.stderr
    assert rows_in(tmp_path / "out") == []
    assert left_on(cloud, spot) == 0
    cloud.sqs.send_message(QueueUrl=on_demand, MessageBody=body)
    done = run(environ, "--queue", on_demand, "--exit-when-empty", "1")
    assert done.returncode == 0, done.stderr
    assert len(rows_in(tmp_path / "out")) == 25
    with closing(sqlite3.connect(ledger)) as connection:
        rows = connection.execute("select number, tenant, body from entries").fetchall()
    assert sorted(row[0] for row in rows) == [1, 2, 3]
    assert {(row[1], json.loads(row[2])["kind"]) for row in rows} == {("default", "answer")}
