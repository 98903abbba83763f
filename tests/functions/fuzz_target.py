"""What atheris calls with mutated bytes; a program of its own, since libFuzzer owns its process.

    python -m tests.functions.fuzz_target TARGET [libFuzzer options] [folders of seeds]

It ends with status 0 when every run kept its promise; otherwise it prints the input that broke it.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import atheris

with atheris.instrument_imports(include=["farthing", "mangum", "cloudevents"]):
    from farthing.errors import Refusal
    from farthing.serving.cloudevents import read_event
    from farthing.serving.contracts.classify import ClassifyRequest
    from farthing.serving.contracts.embeddings import EmbeddingsRequest
    from farthing.serving.contracts.index import IndexRequest
    from farthing.serving.contracts.rerank import RerankRequest, TeiRerankRequest
    from farthing.serving.contracts.search import SearchRequest
    from farthing.serving.limits import read_request
    from functions.embed.app import app
    from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = ("apigateway-http-v2", "function-url", "alb", "direct", "cloudevent-structured")
EDITS_MAX = 4
TEXT_BYTES_MAX = 24
ODDITIES: list[Any] = [
    *(None, True, False, 0, -1, 2**63, 1e308, "", " ", "\x00", "\ud800", "%", "=", "é", "POST"),
    *([], {}, [[]], {"": ""}, [None], "bm90IGpzb24=", "{", "http://[", "\r\n"),
]


class Context:
    """A minute left, as Lambda's runtime would tell it."""

    aws_request_id = "fuzz"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def handle(data: bytes) -> None:
    """The Lambda handler never raises and never answers with 500, whatever the event."""
    event = _event(data)
    answer = app.handler(event, Context())
    assert isinstance(answer, dict)
    json.dumps(answer)
    body = answer
    if "statusCode" in answer:
        assert 200 <= answer["statusCode"] < 500, answer
        body = json.loads(answer["body"]) if answer["body"].startswith("{") else {}
    assert body.get("status", 200) < 500, body
    assert body.get("charge", {"total": "0"})["total"] == "0" or "data" in body, body


def read_body(data: bytes) -> None:
    """A body is a request or a refusal."""
    for request_type in REQUEST_TYPES:
        try:
            assert isinstance(read_request(data, request_type), request_type)
        except Refusal as refusal:
            assert 400 <= refusal.status < 500


def read_cloud_event(data: bytes) -> None:
    """A request is a CloudEvent or a refusal, in either mode."""
    provider = atheris.FuzzedDataProvider(data)
    content_type = provider.PickValueInList(
        ["application/json", "application/cloudevents+json", "text/plain", "", "a/b+json; x=\xff"]
    )
    named = {
        f"ce-{name}": provider.ConsumeString(TEXT_BYTES_MAX)
        for name in ("id", "source", "type", "time", "dataschema", "subject", "é")
        if provider.ConsumeBool()
    }
    binary = {"ce-specversion": provider.PickValueInList(["1.0", "0.3", "", "1"])}
    body = provider.ConsumeBytes(provider.remaining_bytes())
    for headers, content in (
        ({"content-type": content_type} | binary | named, body),
        ({"content-type": "application/cloudevents+json"}, data),
    ):
        try:
            event = read_event(headers, content)
        except Refusal as refusal:
            assert 400 <= refusal.status < 500
        else:
            assert isinstance(event.id, str)


def _event(data: bytes) -> Any:
    """The bytes as JSON; where they are none, a sample event with a few of its parts replaced.

    Most mutated bytes are no JSON and would end in the runtime, before our code.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        pass
    provider = atheris.FuzzedDataProvider(data)
    event = json.loads(SAMPLES[provider.ConsumeIntInRange(0, len(SAMPLES) - 1)])
    for _ in range(provider.ConsumeIntInRange(1, EDITS_MAX)):
        _edit(event, provider)
    return event


def _edit(node: Any, provider: atheris.FuzzedDataProvider) -> None:
    """Replaces, removes or adds something at a place below the node."""
    while node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[provider.ConsumeIntInRange(0, len(keys) - 1)]
        if isinstance(node[key], dict | list) and node[key] and provider.ConsumeBool():
            node = node[key]
            continue
        change = provider.ConsumeIntInRange(0, 3)
        if change == 0:
            del node[key]
        elif change == 1:
            node[key] = provider.ConsumeUnicode(TEXT_BYTES_MAX)
        elif change == 2 and isinstance(node, dict):
            node[provider.ConsumeUnicode(TEXT_BYTES_MAX)] = node[key]
        else:
            node[key] = deepcopy(ODDITIES[provider.ConsumeIntInRange(0, len(ODDITIES) - 1)])
        return


REQUEST_TYPES = (
    ClassifyRequest,
    EmbeddingsRequest,
    SearchRequest,
    RerankRequest,
    TeiRerankRequest,
    IndexRequest,
)
SAMPLES = [
    (ROOT / "functions" / "embed" / "events" / f"{name}.json").read_text(encoding="utf-8")
    for name in EVENTS
]
TARGETS: dict[str, Callable[[bytes], None]] = {
    "handler": handle,
    "body": read_body,
    "event": read_cloud_event,
}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
