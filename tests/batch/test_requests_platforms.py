"""Requests that may wait, taken in on every platform and kept in a bucket."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from farthing.batch.requests import RequestWorker
from farthing.billing.recorders.line import read_lines
from farthing.serving.entry import Entry
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.search.buckets import new_bucket, s3_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TITLE = "bosch series 4 fridge freezer 186cm"
LOW = {"inputs": TITLE, "top_k": 1, "priority": "low"}
PLATFORMS = {
    "lambda": {"AWS_LAMBDA_FUNCTION_NAME": "classify", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"},
    "fc": {
        "FC_FUNCTION_NAME": "classify",
        "FC_FUNCTION_MEMORY_SIZE": "1024",
        "FARTHING_VCPU_MILLI": "500",
    },
    "knative": {
        "K_SERVICE": "classify",
        "FARTHING_MEMORY_MB": "1024",
        "FARTHING_VCPU_MILLI": "500",
    },
}


class Context:
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_running() as endpoint:
        yield endpoint


def environ_of(platform: str, models: Path, jobs: str) -> dict[str, str]:
    return {
        **PLATFORMS[platform],
        "FARTHING_MODELS": str(models),
        "FARTHING_MODEL": "product-classifier",
        "FARTHING_JOBS": jobs,
    }


def work_off(service: Service) -> int:
    store = service.pipeline.desk.store
    assert store is not None
    return RequestWorker(store, lambda _task: service).run_pending()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_job_in_a_bucket_is_taken_in_computed_elsewhere_and_told(
    platform: str, models_dir: Path, s3: str, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = environ_of(platform, models_dir, new_bucket(s3))
    service = Service(["classify"], read_settings(environ))
    client = TestClient(service.app)
    told = client.post("/v1/classify", json=LOW)
    assert told.status_code == 202
    path = told.headers["location"]
    assert client.get(path).json()["status"] == "queued"
    capfd.readouterr()
    assert work_off(Service(["classify"], read_settings(environ))) == 1
    job = client.get(path).json()
    assert job["status"] == "succeeded"
    assert job["charge"]["basis"] == "measured"
    assert job["response"]["results"][0][0]["label"] == "Fridge Freezers"
    (entry,) = read_lines(capfd.readouterr().out.splitlines())
    assert (entry.writer, entry.number) == (f"job-{job['id']}", 1)
    assert client.delete(path).status_code == 409


@pytest.mark.parametrize("name", ["apigateway-http-v2", "function-url", "alb"])
def test_a_gateways_event_is_answered_by_a_job_and_asked_for_by_another(
    name: str, models_dir: Path, tmp_path: Path, sample_event: Callable[[str, str], Any]
) -> None:
    entry = Entry("classify", environ_of("lambda", models_dir, str(tmp_path)))
    event = sample_event("classify", name)
    event["body"], event["isBase64Encoded"] = json.dumps(LOW), False
    answer = entry.handler(event, Context())
    assert answer["statusCode"] == 202
    again = json.loads(entry.handler(event, Context())["body"])
    job = json.loads(answer["body"])
    # A platform that delivers the same attempt again has asked for one job.
    assert again["id"] == job["id"]
    asking = copy.deepcopy(event)
    asking["body"] = ""
    if name == "alb":
        asking["httpMethod"], asking["path"] = "GET", f"/v1/jobs/{job['id']}"
    else:
        asking["rawPath"] = f"/v1/jobs/{job['id']}"
        asking["requestContext"]["http"] |= {"method": "GET", "path": asking["rawPath"]}
    found = entry.handler(asking, Context())
    assert found["statusCode"] == 200
    assert json.loads(found["body"])["status"] == "queued"
    assert work_off(entry.service) == 1
    assert json.loads(entry.handler(asking, Context())["body"])["status"] == "succeeded"


def test_a_direct_invocation_may_wait_too(models_dir: Path, tmp_path: Path) -> None:
    entry = Entry("classify", environ_of("lambda", models_dir, str(tmp_path)))
    job = entry.handler(LOW, Context())
    assert (job["object"], job["status"]) == ("job", "queued")
    assert work_off(entry.service) == 1


def test_a_bucket_that_is_not_there_is_told_as_503(models_dir: Path, s3: str) -> None:
    address = f"s3://nobodys/jobs?region=us-east-1&endpoint={s3}"
    service = Service(["classify"], read_settings(environ_of("lambda", models_dir, address)))
    client = TestClient(service.app)
    assert client.post("/v1/classify", json=LOW).status_code == 503
    answer = client.get("/v1/jobs/job_" + "0" * 32)
    assert answer.status_code == 503
    assert "nobodys" not in answer.text
