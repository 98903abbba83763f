"""The state machine's definition, run by moto's interpreter, with the batch function as its worker.

moto knows no batches of items, no Lambda that runs code, and no Map that fails, so the definition
is reduced by these: items come one by one, a queue stands for Lambda, and its worker is the real
function, called with the very payloads. Nor does a choice find what lies in a list, so the test
looks there itself. What is left is the shipped definition's own.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
import jsonpath_ng
import pytest

from farthing.batch.engines.stepfunctions import StepFunctionsEngine
from farthing.batch.interruption import Stop
from farthing.batch.jobs import JobRequest, create_job
from farthing.batch.running import run_job
from farthing.settings import read_settings
from tests.batch.cloud import Cloud, cloud_running
from tests.batch.functions import environ_of, function_of
from tests.batch.jobs import titles
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFINITION = ROOT / "infra" / "aws" / "batch.asl.json"
ROWS, SHARD_ROWS = 60, 10


class Context:
    """What Lambda hands a handler, as far as ours looks."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with cloud_running() as running:
        # What moto's interpreter itself asks, it asks of a server at this port.
        monkeypatch.setenv("MOTO_PORT", running.endpoint.rpartition(":")[2])
        configure(running, is_executing=True)
        yield running
        # It is one for the whole process, in which other tests execute nothing.
        configure(running, is_executing=False)


def configure(cloud: Cloud, *, is_executing: bool) -> None:
    config = json.dumps({"stepfunctions": {"execute_state_machine": is_executing}}).encode()
    urlopen(Request(f"{cloud.endpoint}/moto-api/config", data=config, method="POST")).close()


def reduced(queue: str, bucket: str) -> dict[str, Any]:
    text = DEFINITION.read_text(encoding="utf-8")
    definition: dict[str, Any] = json.loads(text.replace("${Bucket}", bucket))
    states = definition["States"]
    shards = states["Shards"]
    batch = shards.pop("ItemBatcher")["BatchInput"]
    shards["ItemSelector"] = {
        "BatchInput": batch,
        "Items.$": "States.Array($$.Map.Item.Value)",
    }
    shards["ToleratedFailurePercentage"] = float(shards["ToleratedFailurePercentage"])
    for state in (shards["ItemProcessor"]["States"]["Run"], states["Finish"]):
        given = {key: it for key, it in state["Parameters"].items() if key.startswith("Payload")}
        state["Resource"] = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
        state["Parameters"] = {
            "QueueUrl": queue,
            "MessageBody": {"token.$": "$$.Task.Token", **given},
        }
        # Lambda's answer is wrapped; a token's is not.
        assert state.pop("OutputPath") == "$.Payload"
    (choice,) = states["Is finished"]["Choices"]
    choice["Variable"] = "$.finished"
    return definition


def is_finished(answer: dict[str, Any]) -> bool:
    """What the shipped definition's choice would find in an answer."""
    (choice,) = json.loads(DEFINITION.read_bytes())["States"]["Is finished"]["Choices"]
    (found,) = jsonpath_ng.parse(choice["Variable"]).find(answer)
    return found.value is choice["BooleanEquals"]


def work_off(cloud: Cloud, queue: str, function: Any, seen: list[Any], ended: Stop) -> None:
    """Answers each message as Lambda would answer the state machine; tells if it cannot."""
    states = boto3.client("stepfunctions")
    try:
        while not ended.is_set():
            for body in received(cloud, queue):
                asked = json.loads(body)
                seen.append(asked["Payload"])
                answer = function.handler(asked["Payload"], Context())
                output = json.dumps({"finished": is_finished(answer)})
                states.send_task_success(taskToken=asked["token"], output=output)
    finally:
        ended.set("its worker ended")


def received(cloud: Cloud, queue: str) -> list[str]:
    """What is there for the first time. Nothing is deleted: moto may lose what is sent at that very
    moment, and the state machine would wait for it for ever."""
    found = cloud.sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=3600, WaitTimeSeconds=1
    )
    return [message["Body"] for message in found.get("Messages", [])]


def ended_as(execution: str) -> str:
    states = boto3.client("stepfunctions")
    gives_up_s = time.monotonic() + 120
    while (found := states.describe_execution(executionArn=execution)["status"]) == "RUNNING":
        assert time.monotonic() < gives_up_s, "the execution does not end"
        time.sleep(0.1)
    return str(found)


def test_the_definition_hands_every_shard_to_the_function_and_ends_the_job(
    cloud: Cloud, models_dir: Path
) -> None:
    bucket, queue = cloud.bucket(), cloud.queue()
    rows = "".join(f'{number},"{title.replace(chr(34), "")}"\n' for number, title in
                   enumerate(titles()[:ROWS]))  # fmt: skip
    cloud.put(bucket, "in/prices.csv", f"id,text\n{rows}")
    out = cloud.address(bucket, "out/prices")
    settings = read_settings(environ_of(models_dir, cloud.address(bucket, "out")))
    opened = create_job(
        JobRequest(
            uris=(cloud.address(bucket, "in/prices.csv"),),
            task="classify",
            text="text",
            id="id",
            out=out,
            shard_rows=SHARD_ROWS,
        ),
        settings,
    )
    machine = boto3.client("stepfunctions").create_state_machine(
        name="farthing-batch",
        definition=json.dumps(reduced(queue, bucket)),
        roleArn="arn:aws:iam::123456789012:role/map",
    )["stateMachineArn"]
    seen: list[Any] = []
    ended = Stop()
    function = function_of(models_dir, cloud.address(bucket, "out"))
    worker = threading.Thread(target=work_off, args=(cloud, queue, function, seen, ended))
    worker.start()
    try:
        engine = StepFunctionsEngine(settings, machine, poll_s=0.2)
        manifest = run_job(opened, engine, settings, lambda _event: None, ended)
        status = ended_as(f"{machine.replace('stateMachine', 'execution')}:{opened.job.id}")
    finally:
        ended.set("done")
        worker.join()
    assert (manifest.rows_in, manifest.rows_out) == (ROWS, ROWS)
    handed = [it["Items"] for it in seen if "Items" in it]
    assert sorted(number for (number,) in handed) == list(range(ROWS // SHARD_ROWS))
    assert all(it["BatchInput"] == {"job": out} for it in seen if "Items" in it)
    assert seen[-1] == {"job": out, "shards": []}, "the last call ends the job"
    assert status == "SUCCEEDED"
