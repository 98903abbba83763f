"""What the batch function owes to billing: budgets that hold, and requests that waited."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from farthing.batch.events.function import BatchFunction
from farthing.billing.stores import open_store
from farthing.billing.tenants import Budget, Tenant
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.batch.cloud import Cloud, Context, cloud_running, csv_of, entries_of, sqs_event
from tests.batch.functions import environ_of, function_of, rows_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PICO = 10**12


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with cloud_running() as running:
        yield running


def free_of(ledger: str) -> int:
    """What is left of the tenant's only budget, in pico-USD, and not lent."""
    store = open_store(ledger)
    try:
        ((free, leased, _limit),) = store.free("shop", time.time_ns() // 1_000_000).values()
    finally:
        store.close()
    assert leased == 0
    return free


def ledger_with(folder: Path, limit_pico: int) -> str:
    address = f"sqlite:///{folder / 'ledger.db'}"
    store = open_store(address)
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", limit_pico),)))
    store.close()
    return address


def test_a_budget_is_asked_and_left_to_whoever_seals_the_entries(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_with(tmp_path, PICO)
    event = {"Records": [cloud.put(cloud.bucket(), "in/a.csv", csv_of(35))]}
    function = function_of(
        models_dir, str(tmp_path / "out"), ledger=ledger, tenant="shop", batch_shard_rows="10"
    )
    function.handler(event, Context())
    function.close()
    assert free_of(ledger) == PICO
    entries = entries_of(capfd.readouterr().out)
    assert [(entry["tenant"], entry["unleased"]) for entry in entries] == [("shop", True)] * 4


def test_a_spent_budget_refuses_what_is_left_of_a_job_in_its_own_words(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    dead, ledger = cloud.queue(), ledger_with(tmp_path, 1)
    event = {"Records": [cloud.put(cloud.bucket(), "in/a.csv", csv_of(35))]}
    given: dict[str, Any] = {"tenant": "shop", "batch_shard_rows": "10", "batch_dead_letters": dead}
    poor = function_of(models_dir, str(tmp_path / "out"), ledger=ledger, **given)
    assert poor.handler(sqs_event(event), Context()) == {"batchItemFailures": []}
    poor.close()
    ((error, reason),) = cloud.letters(dead)
    assert error == "BudgetSpent"
    assert "left of the budget for" in reason
    assert rows_in(tmp_path / "out") == []
    store = open_store(ledger)
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", PICO),)))
    store.close()
    rich = function_of(models_dir, str(tmp_path / "out"), ledger=ledger, **given)
    assert rich.handler(sqs_event(event), Context()) == {"batchItemFailures": []}
    rich.close()
    assert len(rows_in(tmp_path / "out")) == 35


def test_a_budget_that_nobody_can_tell_brings_the_message_again(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    dead = cloud.queue()
    event = {"Records": [cloud.put(cloud.bucket(), "in/a.csv", csv_of(5))]}
    function = function_of(
        models_dir,
        str(tmp_path / "out"),
        ledger="dynamodb://nowhere?region=us-east-1&endpoint=http://127.0.0.1:9",
        batch_dead_letters=dead,
    )
    answer = function.handler(sqs_event(event), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert cloud.take_all(dead) == []


def test_requests_that_wait_are_computed_when_their_storage_tells_of_them(
    cloud: Cloud, tmp_path: Path, models_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket = cloud.bucket()
    jobs = cloud.address(bucket, "jobs")
    environ = environ_of(models_dir, str(tmp_path), jobs=jobs)
    server = TestClient(Service(["classify"], read_settings(environ)).app)
    body = {"inputs": ["usb c charger", "garden chair"]}
    at_once = server.post("/v1/classify", json=body).json()
    accepted = server.post("/v1/classify", json={**body, "priority": "low"})
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["id"]
    capfd.readouterr()
    function = BatchFunction(environ)

    def tell(prefix: str) -> dict[str, Any]:
        found = cloud.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        records = [
            {
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": {"key": one["Key"]}},
            }
            for one in found
        ]
        assert records
        return {"Records": records}

    event = tell("jobs/")
    for _ in range(3):
        assert function.handler(sqs_event(event), Context()) == {"batchItemFailures": []}
    job = server.get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "succeeded"
    assert job["response"]["results"] == at_once["results"]
    billed = [one for one in entries_of(capfd.readouterr().out) if one["writer"].startswith("job-")]
    assert [(one["writer"], one["number"]) for one in billed] == [(f"job-{job_id}", 1)]
    # What it came to is told of as well, and is nothing to do.
    assert function.handler(tell("jobs/out/"), Context()) == {"jobs": []}


def test_a_batch_of_openai_is_computed_when_its_storage_tells_of_it(
    cloud: Cloud, tmp_path: Path, models_dir: Path
) -> None:
    bucket = cloud.bucket()
    environ = environ_of(models_dir, str(tmp_path), jobs=cloud.address(bucket, "jobs"))
    server = TestClient(Service(["classify"], read_settings(environ)).app)
    lines = [
        {
            "custom_id": f"c{number}",
            "method": "POST",
            "url": "/v1/classify",
            "body": {"inputs": f"garden chair {number}"},
        }
        for number in range(3)
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    sent = server.post(
        "/v1/files", files={"file": ("lines.jsonl", content)}, data={"purpose": "batch"}
    ).json()
    asked = {"input_file_id": sent["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    batch = server.post("/v1/batches", json=asked).json()
    (ticket,) = cloud.s3.list_objects_v2(Bucket=bucket, Prefix="jobs/batches/in/")["Contents"]
    record = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": ticket["Key"]}},
    }
    (told,) = BatchFunction(environ).handler({"Records": [record]}, Context())["jobs"]
    assert told == {"batch": batch["id"], "status": "completed"}
    ended = server.get(f"/v1/batches/{batch['id']}").json()
    answers = server.get(f"/v1/files/{ended['output_file_id']}/content").text.splitlines()
    assert [json.loads(line)["custom_id"] for line in answers] == ["c0", "c1", "c2"]
