"""A function as Knative runs it: plain HTTP on `$PORT`, several at once, and SIGTERM at the end."""

from __future__ import annotations

import json
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.functions.callers import asking, told
from tests.functions.knative import KNATIVE, assert_charged
from tests.functions.server import START_S, STOP_S, Server, run_to_end, uvicorn

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from tests.conftest import Serve

# A text that fills every window: some 300 pieces for a vocabulary of words, more for any other.
LONG_TEXT = "stainless steel frost free fridge freezer 186cm " * 60
# Its texts are all the same, and a cache would compute one; a slow machine has time enough.
COMPUTING = KNATIVE | {
    "FARTHING_CACHE": "off",
    "FARTHING_QUEUE_MAX_MS": "600000",
    "FARTHING_TIMEOUT_MS": "600000",
}
IN_FLIGHT_TEXTS = 48
ATTEMPTS = 5
ROUTES = {"classify": ("/v1/classify", "inputs"), "embed": ("/v1/embeddings", "input")}


@pytest.fixture(scope="module")
def server(serve_for_session: Serve, function: str) -> Server:
    return serve_for_session(uvicorn(function), KNATIVE)


def long_request(texts: int) -> dict[str, Any]:
    return {"input": [LONG_TEXT] * texts, "encoding_format": "base64"}


def test_a_request_is_charged_at_the_nodes_price(server: Server, function: str) -> None:
    path, field = ROUTES[function]
    answer = server.client.post(path, json={field: "bosch fridge freezer"})
    assert answer.status_code == 200
    assert answer.headers["x-farthing-cost-usd"] == answer.json()["charge"]["total"]
    assert_charged(answer.json())


def test_headers_of_other_platforms_are_a_callers_own_words(server: Server, function: str) -> None:
    path, field = ROUTES[function]
    forged = {
        "x-fc-request-id": "forged",
        "x-fc-function-memory": "128",
        "x-amzn-requestid": "forged",
        "x-amzn-trace-id": "forged",
        "lambda-runtime-aws-request-id": "forged",
        "lambda-runtime-deadline-ms": "1",
        "x-request-id": "forged",
        "ce-id": "forged",
    }
    answers = [
        server.client.post(path, json={field: "bosch fridge freezer"}, headers=forged)
        for _ in range(2)
    ]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert not any("forged" in request_id for request_id in ids)
    for answer in answers:
        assert_charged(answer.json())


@pytest.mark.parametrize("path", ["/initialize", "/invoke", "/pre-stop"])
def test_the_routes_of_other_platforms_are_not_served(server: Server, path: str) -> None:
    answer = server.client.post(path, content="{}")
    assert answer.status_code == 404
    assert server.client.get("/readyz").status_code == 200


def test_a_model_that_loads_but_cannot_infer_is_never_ready(
    serve: Serve, models_dir: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(models_dir / "all-minilm-l6-v2", models / "all-minilm-l6-v2")
    manifest = models / "all-minilm-l6-v2" / "manifest.json"
    stated = json.loads(manifest.read_text(encoding="utf-8"))
    # Only a real inference shows that the graph's vectors are not as long as the manifest says.
    manifest.write_text(json.dumps(stated | {"dims": stated["dims"] - 1}), encoding="utf-8")
    server = serve(uvicorn("embed"), KNATIVE | {"FARTHING_MODELS": str(models)}, wait=False)
    statuses: list[int] = []
    deadline = time.monotonic() + START_S
    while server.is_running and 200 not in statuses and time.monotonic() < deadline:
        try:
            statuses.append(server.client.get("/readyz").status_code)
        except httpx.TransportError:
            time.sleep(0.05)
    assert 200 not in statuses
    assert server.process.wait(STOP_S) != 0


def test_a_request_in_flight_is_answered_when_the_instance_is_told_to_stop(serve: Serve) -> None:
    server = serve(uvicorn("embed"), COMPUTING)
    with ThreadPoolExecutor(1) as caller:
        sent = stopped_in_flight(server, caller)
        # It is told as soon as it goes on.
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        # Uvicorn drains and then dies of the signal it was sent. As a container's process 1,
        # whom the kernel spares that signal, it goes on to exit with 0.
        assert server.process.wait(STOP_S) == -signal.SIGTERM
        answer = sent.result(STOP_S)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == IN_FLIGHT_TEXTS
    assert_charged(answer.json())


def stopped_in_flight(server: Server, caller: ThreadPoolExecutor) -> Future[httpx.Response]:
    """A request in the middle of which the server's process was stopped, until it is continued."""
    process = psutil.Process(server.process.pid)
    request = long_request(IN_FLIGHT_TEXTS)
    for _ in range(ATTEMPTS):
        before_s = process.cpu_times().user
        sent = caller.submit(server.client.post, "/v1/embeddings", json=request)
        # Only computing takes so much of a core: the request is under way, not just received.
        while process.cpu_times().user < before_s + 0.2 and not sent.done():
            time.sleep(0.01)
        stop_for_now(process)
        if not sent.done():
            return sent
        process.send_signal(signal.SIGCONT)
    raise AssertionError("The request is always answered before the server can be stopped.")


def stop_for_now(process: psutil.Process) -> None:
    """Returns once the process stands still."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + STOP_S
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "The process cannot be stopped."
        time.sleep(0.001)


def test_requests_at_once_share_the_time_and_do_not_each_pay_it(serve: Serve) -> None:
    environ = COMPUTING | {"FARTHING_WORKERS": "2", "FARTHING_VCPU_MILLI": "2000"}
    server = serve(uvicorn("embed"), environ)
    process = psutil.Process(server.process.pid)
    # Both are there when it goes on, so they overlap however late this process sends the second.
    stop_for_now(process)
    connections = asking(server, [json.dumps(long_request(16)).encode()] * 2)
    started_s = time.perf_counter()
    process.send_signal(signal.SIGCONT)
    answers = told(connections)
    wall_ms = (time.perf_counter() - started_s) * 1000
    assert [status for status, _, _ in answers] == [200, 200]
    bodies = [body for _, _, body in answers]
    busy_ms = [body["usage"]["busy_ms"] for body in bodies]
    assert 0 < sum(busy_ms) <= wall_ms
    for body in bodies:
        assert_charged(body, vcpu_milli=2000)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FARTHING_MEMORY_MB", "abc"),
        ("FARTHING_MEMORY_MB", "0"),
        ("FARTHING_VCPU_MILLI", "0.5"),
        ("FARTHING_ACCESS", "local"),
        ("FARTHING_ACCESS", "keys"),
        ("FARTHING_NODE", "m1.tiny"),
        ("FARTHING_REGION", "atlantis-1"),
    ],
)
def test_settings_that_cannot_be_used_are_named_and_nothing_starts(
    models_dir: Path, variable: str, value: str
) -> None:
    environ = KNATIVE | {"FARTHING_MODELS": str(models_dir), "PORT": "0", variable: value}
    ended = run_to_end(uvicorn("embed"), environ)
    assert ended.returncode != 0
    named = {"FARTHING_NODE": "knative.vcpu.m1.tiny"}.get(variable, variable)
    assert named in ended.stderr
