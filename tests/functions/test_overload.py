"""More calls than a server can answer, callers who leave, and a stop in the middle of it."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from select import select
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.stores import open_store
from tests.functions.server import REQUEST_S, STOP_S, Server, farthing, run_to_end
from tests.functions.test_keys import make_key
from tests.functions.test_slow_clients import answered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from socket import socket

    from tests.conftest import Serve

LONG_TEXT = "stainless steel frost free fridge freezer 186cm " * 60
# A twentieth of a second of work or more each, and no text twice.
CALLS = [
    json.dumps({"input": [f"{number} {part} {LONG_TEXT}" for part in range(2)]}).encode()
    for number in range(40)
]
# A second of work in one call, of which slices are computed between the calls of others.
HUGE = json.dumps({"input": [f"{number} {LONG_TEXT}" for number in range(40)]}).encode()
SMALL = json.dumps({"input": "bosch fridge freezer 186cm"}).encode()
EVER_MS = 2**60
PATH = "/v1/embeddings"
COMMAND = farthing("serve", "--port", "{port}", "--workers", "1")
# A thread, and a queue of a tenth of a second: most of the calls are one too many.
PATIENT = {"FARTHING_CACHE": "off", "FARTHING_TIMEOUT_MS": "600000"}
SMALL_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "100"}
NO_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "1"}
LARGE_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "600000"}


def head(length: int, *more: str) -> bytes:
    lines = (
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def asking(server: Server, bodies: Sequence[bytes], *more: str) -> list[socket]:
    """A connection for each of the bodies, which are sent and not answered yet."""
    connections = [server.connect() for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        connection.sendall(head(len(body), *more) + body)
    return connections


def told(connections: Sequence[socket]) -> list[tuple[int, dict[str, str], Any]]:
    """What each of them is answered; they are closed then."""
    answers = []
    for connection in connections:
        with connection:
            connection.settimeout(REQUEST_S)
            status, headers, body = answered(connection)
            answers.append((status, headers, json.loads(body)))
    return answers


def booked(server: Server, state: Path) -> Counter[tuple[str, str, int]]:
    """Entries in the ledger by tenant, kind and status, once the server has ended by itself."""
    assert server.process.wait(STOP_S) == -signal.SIGTERM
    store = open_store(f"sqlite:///{state / 'farthing' / 'ledger.db'}")
    return Counter((entry.tenant, entry.kind, entry.status) for entry in store.entries(0, EVER_MS))


def filled(server: Server, *more: str) -> socket:
    """The connection of a call that fills the server: until it is answered there is no room.

    That is found out by calls that are long themselves: of a caller's own calls no more comes
    before one than it asks for, so that a quick machine has room for a small one even in a queue
    of a millisecond.
    """
    deadline_s = time.monotonic() + REQUEST_S
    while time.monotonic() < deadline_s:
        [filling] = asking(server, [HUGE], *more)
        while not select([filling], [], [], 0)[0]:
            [(status, _, _)] = told(asking(server, CALLS[-1:], *more))
            if status != 200:
                return filling
        # The other came first, and this was one too many itself.
        told([filling])
    raise AssertionError("There is always room.")


def assert_refused(headers: dict[str, str], body: dict[str, Any]) -> None:
    assert int(headers["retry-after"]) >= 1
    assert body["type"].removeprefix("urn:farthing:problem:") in {
        "overloaded", "too-many-waiting", "deadline-too-near",
    }  # fmt: skip
    assert body["charge"]["total"] == "0"
    assert headers["content-type"] == "application/problem+json"


def test_what_is_one_too_many_is_refused_at_once_and_all_else_answered_as_ever(
    serve: Serve, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    server = serve(COMMAND, SMALL_QUEUE | {"XDG_STATE_HOME": str(state)})
    alone = server.client.post(PATH, content=CALLS[0]).json()
    answers = told(asking(server, CALLS))
    statuses = Counter(status for status, _, _ in answers)
    assert statuses.keys() <= {200, 429, 503}
    assert statuses[200] >= 1
    assert statuses[429] + statuses[503] >= 1
    for status, headers, body in answers:
        if status != 200:
            assert_refused(headers, body)
    if answers[0][0] == 200:
        assert answers[0][2]["data"] == alone["data"]
    # The moment after, there is room again.
    assert server.client.post(PATH, content=SMALL).status_code == 200
    server.client.close()
    server.process.send_signal(signal.SIGTERM)
    entries = booked(server, state)
    assert entries["local", "answer", 200] == statuses[200] + 2
    assert entries["house", "refusal", 503] == statuses[503]
    assert entries["house", "refusal", 429] == statuses[429]


def test_a_refusal_does_not_wait_for_the_body_and_the_body_is_not_taken_for_a_request(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(COMMAND, NO_QUEUE)
    filling = filled(server)
    # A request in the body's place: it would be answered were it not thrown away.
    body = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + b" " * 1000
    with server.connect() as connection:
        connection.sendall(head(len(body)))
        status, headers, problem = answered(connection)
        assert status == 503
        assert_refused(headers, json.loads(problem))
        connection.sendall(body + b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, ready = answered(connection)
        assert (status, json.loads(ready)) == (200, {"status": "ready"})
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
    assert [status for status, _, _ in told([filling])] == [200]


def test_a_refused_client_that_asks_before_it_sends_its_body_is_told_and_let_go(
    serve: Serve,
) -> None:
    server = serve(COMMAND, NO_QUEUE)
    filling = filled(server)
    with server.connect() as connection:
        connection.sendall(head(len(SMALL), "Expect: 100-continue"))
        status, headers, problem = answered(connection)
        assert status == 503
        assert headers["connection"] == "close"
        assert_refused(headers, json.loads(problem))
    told([filling])


def test_who_has_no_key_learns_nothing_of_the_load(
    serve: Serve, tmp_path: Path, entry: str
) -> None:
    key = make_key("acme", entry, tmp_path)
    server = serve(COMMAND, {**NO_QUEUE, "FARTHING_KEYS": entry})
    bearer = f"Authorization: Bearer {key}"
    filling = filled(server, bearer)
    assert {status for status, _, _ in told(asking(server, [SMALL] * 30))} == {401}
    assert {status for status, _, _ in told(asking(server, [SMALL] * 30, bearer))} == {503}
    assert [status for status, _, _ in told([filling])] == [200]


@pytest.fixture(scope="module")
def entry() -> str:
    return run_to_end(farthing("keys", "init"), {}).stdout.strip().removeprefix("FARTHING_KEYS=")


def test_callers_who_leave_are_not_computed_for(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / "state"
    server = serve(COMMAND, LARGE_QUEUE | {"XDG_STATE_HOME": str(state)})
    staying, leaving = asking(server, CALLS[:2]), asking(server, CALLS[2:])
    # The server looks whether a caller is there once its call has waited for a while.
    time.sleep(0.3)
    for connection in leaving:
        connection.close()
    assert [status for status, _, _ in told(staying)] == [200, 200]
    server.client.close()
    server.process.send_signal(signal.SIGTERM)
    entries = booked(server, state)
    gone, answers = entries["house", "refusal", 499], entries["local", "answer", 200]
    assert gone >= len(leaving) // 2
    assert gone + answers == len(CALLS)


def test_a_server_that_is_stopped_under_load_answers_what_it_began_and_refuses_what_comes(
    serve: Serve, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    server = serve(COMMAND, LARGE_QUEUE | {"XDG_STATE_HOME": str(state)})
    idle = [server.connect() for _ in range(3)]
    for connection in idle:
        connection.sendall(head(len(SMALL)) + SMALL)
        assert answered(connection)[0] == 200
    waiting = asking(server, CALLS[:12])
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    late = []
    for connection in idle:
        # A stop is noticed within a tenth of a second, and told for a second more.
        time.sleep(0.1)
        connection.sendall(head(len(SMALL)) + SMALL)
        late.append(connection)
    late_answers = told(late)
    answers = told(waiting)
    assert [status for status, _, _ in answers] == [200] * len(waiting)
    for status, headers, body in late_answers:
        assert status in {200, 503}
        if status == 503:
            assert headers["connection"] == "close"
            assert_refused(headers, body)
    assert late_answers[-1][0] == 503
    entries = booked(server, state)
    with pytest.raises(OSError):
        server.connect()
    statuses = Counter(status for status, _, _ in [*late_answers, *answers])
    assert entries["local", "answer", 200] == statuses[200] + len(idle)
    assert entries["house", "refusal", 503] == statuses[503]


def test_small_calls_pass_a_huge_one(serve: Serve) -> None:
    server = serve(COMMAND, LARGE_QUEUE)
    texts = [f"{number} {LONG_TEXT}" for number in range(120)]
    [huge] = asking(server, [json.dumps({"input": texts, "encoding_format": "base64"}).encode()])
    with huge:
        time.sleep(0.3)
        for _ in range(3):
            assert server.client.post(PATH, content=SMALL).status_code == 200
        huge.setblocking(False)
        with pytest.raises(BlockingIOError):
            huge.recv(1)
        [(status, _, body)] = told([huge])
    assert status == 200
    assert len(body["data"]) == len(texts)
