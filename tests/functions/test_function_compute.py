"""A function as Alibaba Function Compute 3.0 runs it: a container behind `x-fc-*` headers.

The platform strips `x-fc-*` from what callers send, so whatever bears them is the platform's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.server import Server, run_to_end, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.conftest import Serve

    SampleEvent = Callable[[str, str], Any]

# https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/billing-overview
USD_PER_CU = Decimal("0.000020")
CU_PER_INVOCATION = Decimal(75) / 10_000
CU_PER_VCPU_S = Decimal(1)
CU_PER_GB_S = Decimal("0.15")
MEMORY_MB, VCPU_MILLI = 1024, 500
FUNCTION_COMPUTE = {
    "FARTHING_PLATFORM": "fc",
    "FARTHING_MEMORY_MB": str(MEMORY_MB),
    "FARTHING_VCPU_MILLI": str(VCPU_MILLI),
}


@pytest.fixture(scope="module")
def server(serve_for_session: Serve, function: str) -> Server:
    return serve_for_session(uvicorn(function), FUNCTION_COMPUTE)


def send(server: Server, event: dict[str, Any], **headers: str) -> httpx.Response:
    """The described request, over HTTP."""
    return server.client.request(
        event["method"],
        event["path"],
        headers=event["headers"] | headers,
        content=event["body"].encode(),
    )


def assert_charged(body: dict[str, Any], memory_mb: int = MEMORY_MB) -> None:
    """The charge, computed again from the price page: alone on an instance, whole milliseconds."""
    usage = body["usage"]
    busy_ns = round(usage["busy_ms"] * 1_000_000)
    billed_ms = -(-busy_ns // 1_000_000)
    seconds = Decimal(billed_ms) / 1000
    compute_units = (
        CU_PER_INVOCATION
        + seconds * VCPU_MILLI / 1000 * CU_PER_VCPU_S
        + seconds * memory_mb / 1024 * CU_PER_GB_S
    )
    assert usage["billed_ms"] == billed_ms
    assert usage["memory_mb"] == memory_mb
    assert Decimal(body["charge"]["total"]) == compute_units * USD_PER_CU
    assert body["charge"]["basis"] == "measured"


def test_the_platforms_initialisation_is_answered_when_ready(server: Server) -> None:
    answer = server.client.post("/initialize", headers={"x-fc-request-id": "1-init"})
    assert answer.status_code == 200
    assert server.client.get("/readyz").status_code == 200


def test_an_http_trigger_is_answered_and_charged(
    server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "fc-http")
    answer = send(server, event)
    assert answer.status_code == 200
    assert "x-fc-status" not in answer.headers
    assert answer.headers["x-request-id"] == event["headers"]["x-fc-request-id"]
    assert answer.headers["x-farthing-cost-usd"] == answer.json()["charge"]["total"]
    assert len(answer.json()["results" if function == "classify" else "data"]) == 3
    assert_charged(answer.json())


def test_an_invocation_is_answered_whatever_its_content_type(
    server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "fc-invoke")
    assert event["headers"]["content-type"] == "application/octet-stream"
    answer = send(server, event)
    assert (answer.status_code, answer.headers["x-fc-status"]) == (200, "200")
    assert answer.headers["x-request-id"] == event["headers"]["x-fc-request-id"]
    assert_charged(answer.json())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "malformed-body"),
        (b"{", "malformed-body"),
        (b'{"input": 7, "inputs": 7}', "invalid-request"),
    ],
)
def test_a_failed_invocation_is_told_to_the_platform(
    server: Server, body: bytes, problem: str
) -> None:
    answer = server.client.post("/invoke", content=body, headers={"x-fc-request-id": "1-failed"})
    assert (answer.status_code, answer.headers["x-fc-status"]) == (404, "404")
    assert answer.json()["type"] == f"urn:farthing:problem:{problem}"
    assert answer.json()["instance"] == answer.headers["x-request-id"] == "1-failed"
    assert answer.json()["charge"]["total"] == "0"


@pytest.mark.parametrize("memory_mb", [512, 3072])
def test_the_memory_that_the_platform_states_is_billed(
    server: Server, sample_event: SampleEvent, function: str, memory_mb: int
) -> None:
    headers = {"x-fc-function-memory": str(memory_mb)}
    answer = send(server, sample_event(function, "fc-http"), **headers)
    assert_charged(answer.json(), memory_mb)


@pytest.mark.parametrize("stated", ["", "0", "-512", "1e3", "abc", "512, 512"])
def test_memory_that_is_no_number_leaves_the_configured(
    server: Server, sample_event: SampleEvent, function: str, stated: str
) -> None:
    event = sample_event(function, "fc-http")
    event["headers"]["x-fc-function-memory"] = stated
    answer = send(server, event)
    assert answer.status_code == 200
    assert_charged(answer.json(), MEMORY_MB)


def test_without_the_platforms_id_one_is_generated(
    server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "fc-http")
    event["headers"] = {"content-type": "application/json", "x-request-id": "the-callers"}
    ids = {send(server, event).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert "the-callers" not in ids


def test_before_it_stops_an_instance_is_no_longer_ready(serve: Serve) -> None:
    server = serve(uvicorn("classify"), FUNCTION_COMPUTE)
    assert server.client.post("/pre-stop").status_code == 200
    assert server.client.get("/readyz").status_code == 503


@pytest.mark.parametrize("variable", ["FARTHING_MEMORY_MB", "FARTHING_VCPU_MILLI"])
def test_a_server_that_cannot_price_refuses_to_start(models_dir: str, variable: str) -> None:
    environ = FUNCTION_COMPUTE | {"FARTHING_MODELS": str(models_dir), "PORT": "0"}
    del environ[variable]
    ended = run_to_end(uvicorn("classify"), environ)
    assert ended.returncode != 0
    assert variable in ended.stderr
    assert "cannot price a call" in ended.stderr
