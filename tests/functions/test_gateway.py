"""HTTP by Lambda events, in process: keys, sizes, encodings, and whose time is whose."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from farthing.serving.entry import Entry
from farthing.serving.keys import KeyRing, new_claims, new_entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_ENTRY = new_entry()
# Signed as the tests are found, and valid for longer than all of them may take.
KEY = KeyRing([KEY_ENTRY]).sign(new_claims("acme", 86_400))
FORMATS = ["apigateway-http-v2", "function-url", "alb"]


@pytest.fixture(scope="module")
def environ(models_dir: Path) -> dict[str, str]:
    return {
        "AWS_LAMBDA_FUNCTION_NAME": "classify",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "FARTHING_MODELS": str(models_dir),
    }


@pytest.fixture(scope="module")
def by_platform(environ: dict[str, str]) -> Entry:
    return Entry("classify", environ)


@pytest.fixture(scope="module")
def by_keys(environ: dict[str, str]) -> Entry:
    return Entry("classify", {**environ, "FARTHING_ACCESS": "keys", "FARTHING_KEYS": KEY_ENTRY})


@pytest.fixture
def event(request: pytest.FixtureRequest, sample_event: Callable[[str, str], Any]) -> Any:
    return sample_event("classify", getattr(request, "param", "apigateway-http-v2"))


def with_headers(event: dict[str, Any], **headers: str) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    for name, value in headers.items():
        if "multiValueHeaders" in changed:
            changed["multiValueHeaders"][name] = [value]
        else:
            changed["headers"][name] = value
    return changed


def moved(event: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """The same HTTP API event for another route."""
    changed = copy.deepcopy(event)
    changed["requestContext"]["http"].update(method=method, path=path)
    changed["rawPath"] = path
    return changed


@pytest.mark.parametrize("event", FORMATS, indirect=True)
def test_every_gateway_asks_for_the_key(by_keys: Entry, event: Any) -> None:
    refused = by_keys.handler(event, None)
    assert refused["statusCode"] == 401
    wrong = by_keys.handler(with_headers(event, authorization="Bearer wrong"), None)
    assert wrong["statusCode"] == 401
    answered = by_keys.handler(with_headers(event, authorization=f"Bearer {KEY}"), None)
    assert answered["statusCode"] == 200
    assert "charge" in json.loads(answered["body"])


def test_the_list_of_models_asks_for_the_key_too(by_keys: Entry, event: Any) -> None:
    listing = moved(event, "GET", "/v1/models")
    assert by_keys.handler(listing, None)["statusCode"] == 401
    known = by_keys.handler(with_headers(listing, authorization=f"Bearer {KEY}"), None)
    assert json.loads(known["body"])["data"][0]["id"] == "product-classifier"


def test_a_direct_invocation_was_let_in_by_the_platform(by_keys: Entry) -> None:
    assert "charge" in by_keys.handler({"inputs": "canon eos 2000d body"}, None)


def test_a_base64_body_is_the_same_request(by_platform: Entry, event: Any) -> None:
    encoded = copy.deepcopy(event)
    encoded["body"] = base64.b64encode(event["body"].encode()).decode()
    encoded["isBase64Encoded"] = True
    plain, decoded = (by_platform.handler(each, None) for each in (event, encoded))
    assert json.loads(decoded["body"])["results"] == json.loads(plain["body"])["results"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"body": None}, 400),
        ({"body": "{"}, 400),
        ({"body": "half \ud800"}, 400),
        ({"body": "@@@", "isBase64Encoded": True}, 400),
        ({"body": " " * (6 * 1024 * 1024 + 1)}, 413),
        ({"headers": {"content-type": "text/plain"}}, 415),
        ({"headers": None}, 400),
        ({"headers": {"content-type": 7}}, 400),
        ({"requestContext": None}, 400),
        ({"requestContext": {"http": {"method": 7, "path": "/v1/classify"}}}, 400),
    ],
)
def test_a_spoilt_event_is_refused_in_its_own_words(
    by_platform: Entry, event: Any, changes: dict[str, Any], status: int
) -> None:
    response = by_platform.handler({**event, **changes}, None)
    problem = json.loads(response["body"])
    assert response["statusCode"] == problem["status"] == status
    assert problem["charge"]["total"] == "0"


def test_routes_beside_the_contracts_are_served_and_refused_as_on_a_server(
    by_platform: Entry, event: Any
) -> None:
    routes = {("GET", "/healthz"): 200, ("GET", "/v1/classify"): 405, ("POST", "/nowhere"): 404}
    for (method, path), status in routes.items():
        assert by_platform.handler(moved(event, method, path), None)["statusCode"] == status


def test_a_call_that_takes_no_part_leaves_no_share_behind(by_platform: Entry, event: Any) -> None:
    for _ in range(50):
        by_platform.handler(moved(event, "GET", "/healthz"), None)
    shared = by_platform.service.pipeline.instance._shared
    assert shared._present == 0
