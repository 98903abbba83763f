"""The batch function's entry: what it needs before an event, and every sample event it ships."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farthing.batch.events.function import BatchFunction
from tests.batch.cloud import Cloud, aws_variables, cloud_running, csv_of
from tests.batch.functions import environ_of, rows_in
from tests.functions.server import ROOT, uvicorn
from tests.test_architecture import modules_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Serve

EVENTS = sorted(path.stem for path in (ROOT / "functions/batch/events").glob("*.json"))
LATER = {
    "boto3", "botocore", "s3fs", "pyarrow", "fsspec", "onnxruntime", "numpy", "tokenizers",
    "aws_lambda_powertools", "starlette", "ray", "zstandard",
}  # fmt: skip


def test_before_an_event_nothing_is_loaded_that_one_may_not_need() -> None:
    loaded = modules_after(
        "import functions.batch.app",
        AWS_LAMBDA_FUNCTION_NAME="batch",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="2048",
    )
    assert not LATER & loaded


def test_a_csv_file_needs_no_reader_of_tables_and_no_queue() -> None:
    loaded = modules_after("import farthing.batch.events.worker")
    assert not {"boto3", "s3fs", "pyarrow", "ray", "aws_lambda_powertools", "starlette"} & loaded


class Context:
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


@pytest.mark.parametrize("name", EVENTS)
def test_every_sample_event_is_one_that_the_function_understands(
    sample_event: Callable[[str, str], Any], tmp_path: Path, models_dir: Path, name: str
) -> None:
    seen: list[Any] = []

    class Worker:
        def do(self, work: Any, _call: Any) -> list[dict[str, Any]]:
            seen.append(work)
            return []

    function = BatchFunction(environ_of(models_dir, str(tmp_path)))
    function.__dict__["worker"] = Worker()
    event = sample_event("batch", name)
    if "platform" in event:
        event = json.loads(event["body"])
        if name.startswith("cloudevent") and "specversion" not in event:
            headers = sample_event("batch", name)["headers"]
            event = {"specversion": "1.0", "id": "1", "type": headers["ce-type"], "data": event}
    answer = function.handler(event, Context())
    assert answer in ({"batchItemFailures": []}, {"jobs": []})
    assert seen


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


def test_a_server_does_what_a_broker_sends_and_says_what_failed(
    serve: Serve,
    cloud: Cloud,
    sample_event: Callable[[str, str], Any],
    tmp_path: Path,
    models_dir: Path,
) -> None:
    environ = environ_of(models_dir, str(tmp_path), platform="knative", vcpu_milli="1000")
    environ |= {"FARTHING_MEMORY_MB": "2048", **aws_variables()}
    server = serve(uvicorn("batch"), environ)
    event = sample_event("batch", "cloudevent-s3")
    record = cloud.put(cloud.bucket(), "in/a.csv", csv_of(7))
    for shards in (1, 0):
        answer = server.client.post("/", json=record, headers=event["headers"])
        assert (answer.status_code, answer.headers["x-fc-status"]) == (200, "200"), server.output
        assert answer.json()["jobs"][0]["shards"] == shards
    assert len(rows_in(tmp_path)) == 7
    # Without a region another try may help, once it is set; without a client none does.
    oss, gcs = sample_event("batch", "fc-oss"), sample_event("batch", "cloudevent-gcs")
    answer = server.client.post("/invoke", content=oss["body"], headers=oss["headers"])
    assert (answer.status_code, answer.headers["x-fc-status"]) == (503, "404")
    assert "names no bucket in a region" in server.output
    answer = server.client.post("/", content=gcs["body"], headers=gcs["headers"])
    assert answer.status_code == 422
    assert "gs://" in answer.json()["reason"]
    assert "Traceback" not in server.output
    assert server.client.post("/pre-stop").status_code == 200
    server.terminate()
    assert "Application shutdown complete" in server.output
