"""Every kind of bad request we could think of, over real HTTP: refused, free, never a 500."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.functions.server import Server

CLASSIFY, EMBED = "/v1/classify", "/v1/embeddings"
TITLE = "bosch series 4 free-standing fridge freezer 186cm stainless steel"
JSON = {"content-type": "application/json"}
DEEP = 100_000
MB = 1024 * 1024


class Bad(NamedTuple):
    """A request and the problem that it must be answered with."""

    status: int
    problem: str
    path: str
    content: bytes
    headers: dict[str, str] = JSON
    method: str = "POST"


def bad(status: int, problem: str, path: str, body: Any) -> Bad:
    return Bad(status, problem, path, json.dumps(body).encode())


REQUESTS = {
    # Not JSON
    "an empty body": Bad(400, "malformed-body", EMBED, b""),
    "no JSON": Bad(400, "malformed-body", EMBED, b"bosch fridge freezer"),
    "half a body": Bad(400, "malformed-body", CLASSIFY, b'{"inputs": "bosch'),
    "two bodies": Bad(400, "malformed-body", CLASSIFY, b'{"inputs": "a"}{"inputs": "b"}'),
    "a NaN": Bad(400, "malformed-body", EMBED, b'{"input": NaN}'),
    "a byte order mark": Bad(400, "malformed-body", EMBED, b'\xef\xbb\xbf{"input": "a"}'),
    "invalid UTF-8": Bad(400, "malformed-body", EMBED, b'{"input": "\xff\xfe"}'),
    "UTF-16": Bad(400, "malformed-body", EMBED, '{"input": "a"}'.encode("utf-16")),
    "half a surrogate pair": Bad(400, "malformed-body", CLASSIFY, b'{"inputs": "tv \\ud83d"}'),
    "a compressed body": Bad(400, "malformed-body", EMBED, gzip.compress(b'{"input": "a"}'), JSON),
    "plain text": Bad(
        415, "unsupported-media-type", EMBED, b'{"input": "a"}', {"content-type": "text/plain"}
    ),
    "a form": Bad(
        415,
        "unsupported-media-type",
        CLASSIFY,
        b"inputs=bosch",
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    # Not the route's request
    "a list instead of an object": bad(422, "invalid-request", EMBED, [TITLE]),
    "a string instead of an object": bad(422, "invalid-request", CLASSIFY, TITLE),
    "null instead of an object": bad(422, "invalid-request", CLASSIFY, None),
    "no input": bad(422, "invalid-request", EMBED, {}),
    "a number as input": bad(422, "invalid-request", EMBED, {"input": 7}),
    "null as input": bad(422, "invalid-request", CLASSIFY, {"inputs": None}),
    "numbers as inputs": bad(422, "invalid-request", EMBED, {"input": [1, 2, 3]}),
    "lists as inputs": bad(422, "invalid-request", EMBED, {"input": [[1, 2], [3]]}),
    "an empty list": bad(422, "invalid-request", EMBED, {"input": []}),
    "an empty text": bad(422, "invalid-request", CLASSIFY, {"inputs": ""}),
    "a blank text": bad(422, "invalid-request", EMBED, {"input": " \t\n\u3000"}),
    "a blank among texts": bad(422, "invalid-request", CLASSIFY, {"inputs": [TITLE, " "]}),
    "an unknown field": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "topk": 1}),
    "the other route's field": bad(422, "invalid-request", EMBED, {"inputs": TITLE}),
    "top_k 0": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": 0}),
    "top_k above the labels": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": 11}),
    "top_k beyond any integer": bad(
        422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": 10**40}
    ),
    "top_k as text": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": "3"}),
    "top_k as a fraction": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": 1.5}),
    "top_k as a truth": bad(422, "invalid-request", CLASSIFY, {"inputs": TITLE, "top_k": True}),
    "dimensions 0": bad(422, "invalid-request", EMBED, {"input": TITLE, "dimensions": 0}),
    "dimensions below 0": bad(422, "invalid-request", EMBED, {"input": TITLE, "dimensions": -1}),
    "dimensions above the model's": bad(
        422, "invalid-request", EMBED, {"input": TITLE, "dimensions": 385}
    ),
    "an unknown encoding": bad(
        422, "invalid-request", EMBED, {"input": TITLE, "encoding_format": "hex"}
    ),
    "many levels of lists": Bad(422, "invalid-request", EMBED, b"[" * DEEP),
    "many levels of objects": Bad(422, "invalid-request", EMBED, b'{"input": ' * DEEP),
    "many levels in an input": Bad(422, "invalid-request", CLASSIFY, b'{"inputs": ' + b"[" * DEEP),
    # Too much
    "10,000 inputs": bad(422, "invalid-request", CLASSIFY, {"inputs": ["tv"] * 10_000}),
    "one input of 5 MB": bad(413, "input-too-long", EMBED, {"input": "a" * 5 * MB}),
    "a body over 6 MB": bad(413, "body-too-large", EMBED, {"input": "a" * 6 * MB}),
    "an answer over 6 MB": bad(413, "answer-too-large", EMBED, {"input": [TITLE] * 766}),
    # Nowhere
    "an unknown model": bad(404, "unknown-model", EMBED, {"input": TITLE, "model": "gpt-4"}),
    "another task's model": bad(
        404, "unknown-model", EMBED, {"input": TITLE, "model": "product-classifier"}
    ),
    "an unknown route": bad(404, "unknown-route", "/v1/summarise", {"input": TITLE}),
    "a route with a slash too many": bad(404, "unknown-route", EMBED + "/", {"input": TITLE}),
    "a route that climbs": bad(404, "unknown-route", "/v1/..%2fembeddings", {"input": TITLE}),
    "a route with a null byte": bad(404, "unknown-route", EMBED + "%00", {"input": TITLE}),
    "another platform's route": bad(404, "unknown-route", "/invoke", {"input": TITLE}),
    "GET of a contract": Bad(405, "method-not-allowed", EMBED, b"", JSON, "GET"),
    "DELETE of a contract": Bad(405, "method-not-allowed", CLASSIFY, b"", JSON, "DELETE"),
    "POST to the list of models": Bad(405, "method-not-allowed", "/v1/models", b"{}", JSON),
}


def assert_refused(answer: httpx.Response, status: int, problem: str) -> None:
    """The problem document of a refusal: of this status and type, and free."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:farthing:problem:{problem}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"].endswith(".")
    assert body["charge"]["total"] == answer.headers["x-farthing-cost-usd"] == "0"
    assert body["charge"]["lines"] == []
    assert body["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_request_is_refused_with_its_reason_and_costs_nothing(
    local_server: Server, name: str
) -> None:
    request = REQUESTS[name]
    answer = local_server.client.request(
        request.method, request.path, content=request.content, headers=request.headers
    )
    assert_refused(answer, request.status, request.problem)
    assert local_server.is_running
    assert local_server.client.get("/readyz").status_code == 200


SECRET = "4111-1111-1111-1111"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": [SECRET, ""]}, 422),
        ({"input": TITLE, "encoding_format": SECRET}, 422),
        ({"input": TITLE, "model": SECRET}, 404),
        ({"input": TITLE, "model": "gpt-4", "user": SECRET}, 404),
        ({"input": TITLE, SECRET: True}, 422),
    ],
)
def test_a_refusal_does_not_repeat_what_was_sent(
    local_server: Server, body: dict[str, Any], status: int
) -> None:
    answer = local_server.client.post(EMBED, json=body)
    assert answer.status_code == status
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", EMBED, {"POST"}), ("PUT", CLASSIFY, {"POST"}), ("POST", "/readyz", {"GET", "HEAD"})],
)
def test_a_wrong_method_is_told_the_right_ones(
    local_server: Server, method: str, path: str, allowed: set[str]
) -> None:
    answer = local_server.client.request(method, path)
    assert_refused(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_an_answer_too_large_tells_how_to_make_it_fit(local_server: Server) -> None:
    texts = [TITLE] * 766
    refused = local_server.client.post(EMBED, json={"input": texts})
    assert_refused(refused, 413, "answer-too-large")
    assert '"encoding_format": "base64"' in refused.json()["detail"]
    advised = {"input": texts, "encoding_format": "base64"}
    answer = local_server.client.post(EMBED, json=advised)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 766
    assert len(answer.content) < 6 * MB


def test_a_text_longer_than_the_window_is_cut_and_says_so(local_server: Server) -> None:
    long = "stainless steel frost free fridge freezer 186cm " * 60
    answer = local_server.client.post(EMBED, json={"input": [TITLE, long]})
    assert answer.status_code == 200
    assert answer.json()["usage"]["truncated"] == 1
    whole = local_server.client.post(EMBED, json={"input": [TITLE]})
    assert whole.json()["usage"]["truncated"] == 0


def test_forged_headers_name_no_attempt_and_set_no_price(local_server: Server) -> None:
    forged = {
        "x-fc-request-id": "forged",
        "x-fc-function-memory": "128",
        "lambda-runtime-aws-request-id": "forged",
        "lambda-runtime-deadline-ms": "1",
        "x-request-id": "forged",
        "x-forwarded-for": "127.0.0.1",
    }
    answer = local_server.client.post(EMBED, json={"input": TITLE}, headers=forged)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != "forged"
    assert answer.json()["usage"]["memory_mb"] == 1024
    assert answer.json()["charge"]["basis"] == "simulated"
