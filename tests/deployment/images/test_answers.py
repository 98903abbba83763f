"""The images answer under the platforms' limits: read-only, no network, CPU and memory capped."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.pack.cold import RUN_S_MAX, lambda_size, measure
from farthing.deployment.pack.engine import Engine
from farthing.deployment.pack.images import Request
from tests.deployment.images.container import START_S
from tests.functions.emulator import INVOKE_PATH, emulator_binary
from tests.functions.server import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.deployment.project import Project
    from tests.deployment.images.container import Container

    Image = Callable[[str, str], str]
    Start = Callable[..., Container]

FUNCTIONS = ("classify", "embed", "search")
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "farthing",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    # The platform's longest: a slow machine is no finding.
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "900",
    "AWS_REGION": "us-east-1",
}
KNATIVE = {
    "FARTHING_PLATFORM": "knative",
    "FARTHING_MEMORY_MB": "1024",
    "FARTHING_VCPU_MILLI": "1000",
}
EMULATOR = ("--runtime-interface-emulator-address", "127.0.0.1:8080")
HTTP_PORT = 8080
# Of 512 MB, 30 % are to be spare.
SPARE_MEMORY_MB = 358


def start_on_lambda(start: Start, image: str, memory_mb: int = 1024) -> Container:
    """The image's own command under AWS's emulator, as the service would start it."""
    command = (*EMULATOR, "python3", "-m", "awslambdaric", "functions.this.app.handler")
    return start(
        image,
        *command,
        entrypoint="/emulator",
        mount=f"{emulator_binary()}:/emulator",
        environ={**LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb)},
        memory_mb=memory_mb,
    )


def priced(body: Any) -> Decimal:
    assert body["charge"]["basis"] == "measured", body
    return Decimal(body["charge"]["total"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_lambda_image_answers_an_http_event_with_its_price(
    function: str, image: Image, start: Start, sample_event: Callable[[str, str], Any]
) -> None:
    container = start_on_lambda(start, image(function, "lambda-image"))
    url = f"http://127.0.0.1:8080{INVOKE_PATH}"
    status, answer = container.ask(url, json.dumps(sample_event(function, "apigateway-http-v2")))
    assert (status, answer["statusCode"]) == (200, 200), container.log
    assert priced(json.loads(answer["body"])) > 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_http_image_answers_on_its_port_with_its_price(
    function: str, image: Image, start: Start, sample_event: Callable[[str, str], Any]
) -> None:
    event = sample_event(function, "apigateway-http-v2")
    container = start(image(function, "http-image"), environ=KNATIVE)
    status, answer = container.ask(f"http://127.0.0.1:8080{event['rawPath']}", event["body"])
    assert status == 200, container.log
    assert priced(answer) > 0


def test_an_image_is_another_functions_where_it_is_told_so_in_the_environment(
    image: Image, start: Start
) -> None:
    environ = {**KNATIVE, "UVICORN_PORT": "9000", "FARTHING_PLATFORM": "fc"}
    container = start(image("classify", "http-image"), environ=environ)
    status, answer = container.ask("http://127.0.0.1:9000/readyz")
    assert (status, answer["status"]) == (200, "ready"), container.log


@pytest.mark.parametrize("target", ["lambda-image", "http-image"])
def test_it_runs_as_lambdas_user_and_can_write_to_tmp_alone(
    target: str, image: Image, start: Start
) -> None:
    container = start(
        image("classify", target), "-c", "import time; time.sleep(60)", entrypoint="python3"
    )
    code = """
import json, os, tempfile
def can_write(folder):
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
folders = ["/", "/opt/models", "/opt/python", "/var/task", "/tmp"]
print(json.dumps([os.getuid(), os.getgid(), [f for f in folders if can_write(f)]]))
"""
    assert json.loads(container.python(code)) == [993, 990, ["/tmp"]]


def test_a_server_that_is_told_to_stop_answers_first_and_exits_cleanly(
    image: Image, start: Start
) -> None:
    port = free_port()
    environ = {**KNATIVE, "UVICORN_HOST": LOOPBACK, "UVICORN_PORT": str(port)}
    container = start(image("embed", "http-image"), environ=environ, network="host")
    container.ask(f"http://{LOOPBACK}:{port}/readyz")
    body = json.dumps({"input": [f"{n} a red chair" for n in range(10)]}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with connected(port) as connection, ThreadPoolExecutor(1) as pool:
        connection.sendall(head.encode())
        # Only a call that is under way is asked for its body: how long it lasts is ours to say.
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        stopped = pool.submit(container.stop)
        wait_until_refused(port)
        connection.sendall(body)
        answer = HTTPResponse(connection)
        answer.begin()
        embedded = json.load(answer)
        status = stopped.result()
    assert answer.status == 200, embedded
    assert len(embedded["data"]) == 10
    assert status == 0, container.log


def connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=START_S)


def wait_until_refused(port: int) -> None:
    """Until the server takes no more calls: it knows that it is to stop."""
    deadline = time.monotonic() + START_S
    with suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            connected(port).close()
            time.sleep(0.05)
        raise AssertionError("The server goes on taking calls.")


@pytest.mark.parametrize("function", ["classify", "embed"])
def test_the_heaviest_call_leaves_a_third_of_512_mb_spare(
    function: str, image: Image, start: Start
) -> None:
    """The kernel would kill the container at 358 MB, swap included."""
    container = start_on_lambda(start, image(function, "lambda-image"), SPARE_MEMORY_MB)
    texts = [f"{n} every word of a window that is filled to its very end " * 60 for n in range(32)]
    field = {"classify": "inputs", "embed": "input"}[function]
    url = f"http://127.0.0.1:8080{INVOKE_PATH}"
    _, answer = container.ask(url, json.dumps({field: texts}))
    assert priced(answer) > 0, container.log
    assert answer["usage"]["truncated"] == 32


def test_a_search_of_many_words_and_documents_leaves_a_third_of_512_mb_spare(
    image: Image, start: Start
) -> None:
    container = start_on_lambda(start, image("search", "lambda-image"), SPARE_MEMORY_MB)
    url = f"http://127.0.0.1:8080{INVOKE_PATH}"
    query = "a bosch fridge freezer and every other word that a title may have " * 100
    for event in ({"query": query, "top_k": 100}, {"query": "fridge freezer"}):
        _, answer = container.ask(url, json.dumps(event))
        assert priced(answer) > 0, container.log
    assert answer["results"]


@pytest.mark.parametrize("target", ["lambda-image", "http-image"])
def test_a_cold_start_is_measured_beside_the_floor_in_its_own_container(
    target: Any, image: Image, project: Project
) -> None:
    name, request = image("classify", target), Request("classify", target)
    found = measure(project, Engine("podman"), request, name, lambda_size(512), rounds=1)
    assert 0 < found.floor_s < RUN_S_MAX
    assert 0 < found.cpu_s <= found.taken_s * 2 < 2 * RUN_S_MAX
    assert 40 < found.peak_mb <= SPARE_MEMORY_MB
    assert Decimal(found.total) > 0
