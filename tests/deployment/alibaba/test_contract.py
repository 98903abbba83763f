"""The server in the image answers what the files tell the platform to call.

Run as the image runs it, with the environment of s.events.yaml; the platform's requests are as
its documentation describes them, and not verified against the service.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farthing.serving.keys import KeyRing, new_claims, new_entry
from tests.functions.server import uvicorn

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.conftest import Serve
    from tests.deployment.alibaba.conftest import Props
    from tests.functions.server import Server

QUESTION = {"classify": {"inputs": "a red kettle"}, "embed": {"input": "a red kettle"}}
FUNCTIONS = sorted(QUESTION)
INVOKE = {"x-fc-control-path": "/invoke", "content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def mounted(
    serve_for_session: Serve, props: Props, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    """A function with an empty bucket, and a secret beside it."""
    folder = tmp_path_factory.mktemp("mounts") / "bucket"
    folder.mkdir()
    (folder.parent / "secret.json").write_text(json.dumps(QUESTION["classify"]))
    return start(
        serve_for_session, props("s.events.yaml"), "classify", FARTHING_OBJECTS=str(folder)
    )


def start(serve: Serve, props: dict[str, Any], function: str, **extra: str) -> Server:
    return serve(uvicorn(function), {**props["environmentVariables"], **extra})


def invoke(server: Server, event: object, **headers: str) -> httpx.Response:
    content = event if isinstance(event, bytes) else json.dumps(event).encode()
    return server.client.post("/invoke", content=content, headers=INVOKE | headers)


def object_event(key: str) -> dict[str, Any]:
    return {
        "events": [
            {
                "eventName": "ObjectCreated:PutObject",
                "eventSource": "acs:oss",
                "eventTime": "2026-11-21T06:45:43.000Z",
                "eventVersion": "1.0",
                "oss": {
                    "bucket": {"name": "requests", "arn": "acs:oss:ap-southeast-1:1:requests"},
                    "object": {"key": key, "size": 28, "deltaSize": 28, "eTag": "688A7BF4"},
                    "ossSchemaVersion": "1.0",
                },
                "region": "ap-southeast-1",
            }
        ]
    }


def assert_answered(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["x-fc-status"]) == (200, "200"), answer.text
    assert answer.json()["charge"]["basis"] == "measured"
    assert answer.json()["usage"]["memory_mb"] == 1024


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_path_and_event_of_the_files_is_answered(
    serve: Serve, props: Props, tmp_path: Path, function: str
) -> None:
    stated = props("s.events.yaml", function)
    objects = tmp_path / "objects"
    (objects / function).mkdir(parents=True)
    (objects / function / "one.json").write_text(json.dumps(QUESTION[function]))
    server = start(serve, stated, function, FARTHING_OBJECTS=str(objects))
    health = stated["customContainerConfig"]["healthCheckConfig"]["httpGetUrl"]
    hooks = stated["instanceLifecycleConfig"]
    started = f"/{hooks['initializer']['handler']}"
    assert server.client.post(started, headers={"x-fc-control-path": started}).status_code == 200
    assert server.client.get(health).status_code == 200

    timer = next(it for it in stated["triggers"] if it["triggerType"] == "timer")
    payload = timer["triggerConfig"]["payload"]
    fired = {"triggerTime": "2026-11-21T07:49:00Z", "triggerName": "keep-warm", "payload": payload}
    message = {
        "specversion": "1.0",
        "id": "1",
        "source": f"MNS-farthing-{function}-requests",
        "type": "mns:Queue:SendMessage",
        "datacontenttype": "application/json",
        "data": {"requestId": "1", "messageId": "1", "messageBody": json.dumps(QUESTION[function])},
    }
    plain = {**message, "data": QUESTION[function]}
    for event in (QUESTION[function], fired, message, plain, object_event(f"{function}/one.json")):
        assert_answered(invoke(server, event))

    stopped = f"/{hooks['preStop']['handler']}"
    assert server.client.get(stopped, headers={"x-fc-control-path": stopped}).status_code == 200
    assert server.client.get(health).status_code == 503


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (object_event("classify/gone.json"), "cannot be read"),
        (object_event("../secret.json"), "cannot be read"),
        (object_event("/etc/hostname"), "cannot be read"),
        (object_event(""), "cannot be read"),
        ({"events": [{}]}, "cannot be read"),
        ({"events": [{}, {}]}, "about 2 objects"),
        ({"events": []}, "about 0 objects"),
        ({"triggerTime": "", "triggerName": "", "payload": "keep warm"}, "read as JSON"),
        ({"specversion": "1.0", "data": {"messageBody": "{"}}, "read as JSON"),
        ({"specversion": "1.0", "data": None}, "does not fit"),
        (b"\xff\xfe", "read as JSON"),
    ],
)
def test_an_event_that_carries_no_request_fails_in_a_sentence(
    mounted: Server, event: object, says: str
) -> None:
    answer = invoke(mounted, event)
    assert (answer.status_code, answer.headers["x-fc-status"]) == (404, "404")
    assert says in answer.json()["detail"]
    assert answer.json()["charge"]["total"] == "0"


def test_without_a_mount_an_object_is_refused(serve: Serve, props: Props) -> None:
    server = start(serve, props("s.yaml"), "classify")
    answer = invoke(server, object_event("classify/one.json"))
    assert answer.headers["x-fc-status"] == "404"
    assert "FARTHING_OBJECTS names no folder" in answer.json()["detail"]


def test_a_caller_cannot_play_the_platform(serve: Serve, props: Props) -> None:
    """An HTTP trigger passes every path through; the platform marks such calls."""
    environ = props("s.keys.yaml")["environmentVariables"]
    environ["FARTHING_KEYS"] = new_entry()
    key = KeyRing([environ["FARTHING_KEYS"]]).sign(new_claims("shop", 3600))
    server = serve(uvicorn("classify"), environ)
    caller = {"x-fc-control-path": "/http-invoke"}
    question = json.dumps(QUESTION["classify"])
    for path in ("/initialize", "/pre-stop"):
        assert server.client.post(path, headers=caller).status_code == 404
    assert server.client.get("/readyz").status_code == 200
    refused = server.client.post("/invoke", content=question, headers=caller)
    assert refused.json()["type"] == "urn:farthing:problem:unauthorized"
    unmarked = server.client.post("/invoke", content=question)
    assert unmarked.json()["type"] == "urn:farthing:problem:unauthorized"
    with_key = {**caller, "authorization": f"Bearer {key}"}
    assert server.client.post("/invoke", content=question, headers=with_key).status_code == 200
    event = json.dumps(object_event("classify/one.json"))
    detail = server.client.post("/invoke", content=event, headers=with_key).json()["detail"]
    assert "FARTHING_OBJECTS" not in detail
    assert_answered(invoke(server, QUESTION["classify"]))
