"""Batches through a Lambda function's gateway, and in a bucket."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

from farthing.batch.openai import BatchFileRunner
from farthing.serving.platforms.aws_lambda import build_handler
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.batch.openai_shop import EMBED, Shop, as_file, line
from tests.search.buckets import new_bucket, s3_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Call = Callable[..., dict[str, Any]]

LINES = [line(f"r{i}", {"input": f"bosch fridge number {i}"}) for i in range(12)]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with s3_running() as endpoint:
        yield endpoint


def test_a_batch_in_a_bucket_is_computed_as_in_a_folder(
    s3_endpoint: str, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.batch.openai.survey.SHARD_TEXTS_MAX", 5)
    shop = Shop(tmp_path, models_dir, jobs=new_bucket(s3_endpoint))
    batch_id = shop.begin(LINES)
    assert shop.runner.run_pending() == 1
    told = shop.batch(batch_id)
    assert (told["status"], told["request_counts"]["completed"]) == ("completed", 12)
    assert [one["custom_id"] for one in shop.answers(batch_id)] == [f"r{i}" for i in range(12)]
    assert shop.client.get("/v1/batches").json()["data"] == [told]
    assert shop.sold_keys() == [(batch_id, 1), (batch_id, 2), (batch_id, 3)]


@pytest.fixture
def call(tmp_path: Path, models_dir: Path) -> Call:
    """`call(method, path, …)`: the response that a function's gateway gets, and who computes."""
    settings = read_settings(
        {"AWS_LAMBDA_FUNCTION_NAME": "embed", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"},
        models=str(models_dir),
        model=["all-minilm-l6-v2"],
        jobs=str(tmp_path),
        recorder="none",
        payload_max_bytes=200_000,
    )
    service = Service(["embed"], settings)
    handler = build_handler(service)
    context = SimpleNamespace(aws_request_id="a-1", get_remaining_time_in_millis=lambda: 30_000)

    def called(method: str, path: str, query: dict[str, str] | None = None, **options: Any) -> Any:
        if path == "compute":
            store = service.pipeline.desk.store
            assert store is not None
            return BatchFileRunner(store.storage, lambda _task: service).run_pending()
        sent = httpx.Request(method, f"https://shop.example{path}", params=query, **options)
        body = sent.read()
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": urlencode(query or {}),
            "headers": dict(sent.headers),
            "requestContext": {
                "http": {"method": method, "path": path, "sourceIp": "198.51.100.7"}
            },
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        return handler(event, context)

    return called


def upload(call: Call, content: bytes) -> dict[str, Any]:
    files = {"file": ("requests.jsonl", content)}
    return call("POST", "/v1/files", data={"purpose": "batch"}, files=files)


def test_a_function_takes_files_and_batches_and_gives_them_back(call: Call) -> None:
    uploaded = upload(call, as_file(LINES[:3]))
    assert uploaded["statusCode"] == 200, uploaded
    file = json.loads(uploaded["body"])
    asked = {"input_file_id": file["id"], "endpoint": EMBED, "completion_window": "24h"}
    batch = json.loads(call("POST", "/v1/batches", json=asked)["body"])
    assert call("", "compute") == 1
    told = json.loads(call("GET", f"/v1/batches/{batch['id']}")["body"])
    assert told["status"] == "completed"
    assert told["charge"]["basis"] == "measured"
    content = call("GET", f"/v1/files/{told['output_file_id']}/content")
    assert content["isBase64Encoded"] is False
    assert len(content["body"].splitlines()) == 3
    listed = json.loads(call("GET", "/v1/files", {"limit": "1"})["body"])
    assert (len(listed["data"]), listed["has_more"]) == (1, True)


def test_a_function_refuses_a_file_that_no_answer_could_hold(call: Call) -> None:
    assert upload(call, b"x" * 200_001)["statusCode"] == 413
    lines = [line(f"r{i}", {"input": f"bosch fridge number {i}"}) for i in range(30)]
    file = json.loads(upload(call, as_file(lines))["body"])
    asked = {"input_file_id": file["id"], "endpoint": EMBED, "completion_window": "24h"}
    batch = json.loads(call("POST", "/v1/batches", json=asked)["body"])
    call("", "compute")
    told = json.loads(call("GET", f"/v1/batches/{batch['id']}")["body"])
    assert told["request_counts"]["completed"] == 30
    # Vectors, each of which fits, do not fit together into what this function may answer.
    path = f"/v1/files/{told['output_file_id']}"
    assert json.loads(call("GET", path)["body"])["bytes"] > 200_000
    assert call("GET", f"{path}/content")["statusCode"] == 413
