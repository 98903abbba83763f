"""CloudEvents at a Knative function's root: an event in, an event or a problem out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.knative import KNATIVE, assert_charged
from tests.functions.server import Server, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.conftest import Serve

    SampleEvent = Callable[[str, str], Any]

STRUCTURED = {"content-type": "application/cloudevents+json"}
BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "product-1-listed",
    "ce-source": "https://shop.example/catalogue",
    "ce-type": "example.shop.product.listed.v1",
}


@pytest.fixture(scope="module")
def server(serve_for_session: Serve, function: str) -> Server:
    return serve_for_session(uvicorn(function), KNATIVE)


def send(server: Server, event: dict[str, Any]) -> tuple[str, httpx.Response]:
    """The caller's event id and the response to a sample event of either mode."""
    if "specversion" in event:
        headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
        return event["id"], server.client.post("/", content=json.dumps(event), headers=headers)
    answer = server.client.post(event["path"], content=event["body"], headers=event["headers"])
    return event["headers"]["ce-id"], answer


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_an_event_is_answered_by_an_event(
    server: Server, sample_event: SampleEvent, function: str, mode: str
) -> None:
    callers_id, answer = send(server, sample_event(function, f"cloudevent-{mode}"))
    assert answer.status_code == 200, answer.text
    headers = answer.headers
    assert headers["content-type"] == "application/json"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "farthing.answer.v1"
    assert headers["ce-source"] == "/farthing"
    assert headers["ce-causationid"] == callers_id
    assert headers["ce-subject"] == "example.shop.product.listed.v1"
    assert headers["ce-id"] == headers["x-request-id"] != callers_id
    assert headers["x-farthing-cost-usd"] == answer.json()["charge"]["total"]
    assert_charged(answer.json())


def test_a_redelivered_event_is_a_new_attempt(
    server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "cloudevent-binary")
    ids = {send(server, event)[1].headers["ce-id"] for _ in range(2)}
    assert len(ids) == 2


def test_data_in_base64_is_read(server: Server, sample_event: SampleEvent, function: str) -> None:
    event = sample_event(function, "cloudevent-structured")
    event["data_base64"] = base64.b64encode(json.dumps(event.pop("data")).encode()).decode()
    _, answer = send(server, event)
    assert answer.status_code == 200, answer.text


def without(name: str) -> dict[str, str]:
    return {header: value for header, value in BINARY.items() if header != name}


NOT_EVENTS = {
    "a batch": (415, {"content-type": "application/cloudevents-batch+json"}, "[]"),
    "plain JSON": (415, {"content-type": "application/json"}, '{"input": "bosch"}'),
    "an empty id": (400, BINARY | {"ce-id": ""}, "{}"),
    "another version": (400, BINARY | {"ce-specversion": "0.1"}, "{}"),
    "a time that is none": (400, BINARY | {"ce-time": "yesterday"}, "{}"),
    "no type": (400, without("ce-type"), "{}"),
    "no source": (400, without("ce-source"), "{}"),
    "no id": (400, without("ce-id"), "{}"),
    "binary data that is not JSON": (400, BINARY, "{"),
    "binary data that is nothing": (400, BINARY, ""),
    "a list as data": (422, BINARY, "[]"),
    "a field of no route": (422, BINARY, '{"text": "bosch"}'),
    "an event of nothing": (400, STRUCTURED, ""),
    "an event that is a list": (400, STRUCTURED, "[]"),
    "an event that is a number": (400, STRUCTURED, "7"),
    "an event without attributes": (400, STRUCTURED, '{"specversion": "1.0"}'),
    "an event of many levels": (400, STRUCTURED, "[" * 100_000),
    "an event without id": (400, STRUCTURED, '{"specversion": "1.0", "source": "/a", "type": "b"}'),
    "an event that is half": (400, STRUCTURED, '{"specversion": "1.0", "id": '),
}
PROBLEMS = {400: "malformed-body", 415: "unsupported-media-type", 422: "invalid-request"}


@pytest.mark.parametrize("name", NOT_EVENTS)
def test_what_is_no_event_of_ours_is_refused_free_of_charge(server: Server, name: str) -> None:
    status, headers, body = NOT_EVENTS[name]
    answer = server.client.post("/", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:farthing:problem:{PROBLEMS[status]}"
    assert answer.json()["charge"]["total"] == "0"
    assert server.client.get("/readyz").status_code == 200
