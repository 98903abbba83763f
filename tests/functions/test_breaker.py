"""The circuit breaker against a moto server, with the events that alarms and budgets send."""

from __future__ import annotations

import importlib
import io
import json
import sys
import urllib.request
import zipfile
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from farthing.billing.breaker import Breaker, StillRunning, UnknownEvent
from tests.functions.server import REQUEST_S

NAMES = ("farthing-classify", "farthing-embed")


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_server,
        "BREAKER_FUNCTIONS": ",".join(NAMES),
    }.items():
        monkeypatch.setenv(name, value)
    # All servers of a process share what moto keeps.
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=REQUEST_S).close()
    client = boto3.client("lambda")
    role = boto3.client("iam").create_role(RoleName="breaker", AssumeRolePolicyDocument="{}")[
        "Role"
    ]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    for name in NAMES:
        client.create_function(
            FunctionName=name,
            Role=role,
            Runtime="python3.12",
            Handler="app.handler",
            Code={"ZipFile": code.getvalue()},
        )
    return client


def entry() -> Any:
    """The entry point as Lambda imports it: afresh, with the environment there is."""
    sys.modules.pop("functions.breaker.app", None)
    return importlib.import_module("functions.breaker.app").handler


def reserved(client: Any, name: str) -> int | None:
    return client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")


@pytest.mark.parametrize("event", ["alarm", "budget-sns"])
def test_an_alarm_and_a_spent_budget_stop_every_function(
    aws: Any, sample_event: Any, event: str
) -> None:
    assert [reserved(aws, name) for name in NAMES] == [None, None]
    said = entry()(sample_event("breaker", event), None)
    assert [reserved(aws, name) for name in NAMES] == [0, 0]
    assert said["stopped"] == list(NAMES)


def test_a_second_alarm_changes_nothing(aws: Any, sample_event: Any) -> None:
    handler = entry()
    first = handler(sample_event("breaker", "alarm"), None)
    assert handler(sample_event("breaker", "alarm"), None) == first
    assert [reserved(aws, name) for name in NAMES] == [0, 0]


def test_what_it_says_lifts_it(aws: Any, sample_event: Any) -> None:
    said = entry()(sample_event("breaker", "alarm"), None)
    for line in said["lift"]:
        command, _, name = line.rpartition(" --function-name ")
        assert command == "aws lambda delete-function-concurrency"
        aws.delete_function_concurrency(FunctionName=name)
    assert [reserved(aws, name) for name in NAMES] == [None, None]


def test_an_alarm_that_is_over_stops_nothing(aws: Any, sample_event: Any) -> None:
    event = sample_event("breaker", "alarm")
    event["alarmData"]["state"]["value"] = "OK"
    assert entry()(event, None)["stopped"] == []
    assert [reserved(aws, name) for name in NAMES] == [None, None]


def test_one_function_that_is_gone_does_not_save_the_others(aws: Any, sample_event: Any) -> None:
    breaker = Breaker(aws, ["farthing-gone", *NAMES])
    with pytest.raises(StillRunning, match=r"farthing-gone: .*put-function-concurrency"):
        breaker.handle(sample_event("breaker", "alarm"))
    assert [reserved(aws, name) for name in NAMES] == [0, 0]


def test_another_event_is_refused_and_stops_nothing(aws: Any) -> None:
    with pytest.raises(UnknownEvent, match="nothing was stopped"):
        entry()({"inputs": "hello"}, None)
    with pytest.raises(UnknownEvent, match="nothing was stopped"):
        entry()({"Records": [{"Sns": {"Subject": "hi", "Message": json.dumps({"a": 1})}}]}, None)
    assert [reserved(aws, name) for name in NAMES] == [None, None]


@pytest.mark.parametrize(
    "answer",
    [None, "ProvisionedConcurrencyConfigNotFoundException", "ResourceNotFoundException"],
)
def test_what_is_provisioned_goes_first(sample_event: Any, answer: str | None) -> None:
    # moto has no provisioned concurrency: botocore's stub checks the calls against the API's model.
    client = boto3.client("lambda", region_name="us-east-1")
    with Stubber(client) as stub:
        method = "delete_provisioned_concurrency_config"
        asked = {"FunctionName": "f", "Qualifier": "live"}
        if answer is None:
            stub.add_response(method, {}, asked)
        else:
            stub.add_client_error(method, answer, expected_params=asked)
        stub.add_response(
            "put_function_concurrency",
            {},
            {"FunctionName": "f", "ReservedConcurrentExecutions": 0},
        )
        Breaker(client, ["f"], "live").handle(sample_event("breaker", "alarm"))
        stub.assert_no_pending_responses()


def test_a_refusal_to_release_is_told(sample_event: Any) -> None:
    client = boto3.client("lambda", region_name="us-east-1")
    with Stubber(client) as stub:
        stub.add_client_error("delete_provisioned_concurrency_config", "TooManyRequestsException")
        with pytest.raises(StillRunning, match=r"f: .*TooManyRequests"):
            Breaker(client, ["f"], "live").handle(sample_event("breaker", "alarm"))
