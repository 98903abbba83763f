"""More calls than a server can answer, callers who leave, and a stop in the middle of it."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import ExitStack
from select import select
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.functions.books import entries_of
from tests.functions.callers import (
    ATTEMPTS,
    CALLS,
    LONG_TEXT,
    PATH,
    asking,
    await_reading,
    await_stopping,
    head,
    told,
    while_full,
)
from tests.functions.patient import patient
from tests.functions.server import REQUEST_S, STOP_S, Server, farthing, run_to_end
from tests.functions.test_keys import make_key
from tests.functions.test_slow_clients import answered

if TYPE_CHECKING:
    from pathlib import Path
    from socket import socket

    from tests.conftest import Serve

# Four times as long each, so that nobody is answered before he leaves.
LONG_CALLS = [
    json.dumps({"input": [f"{number} {part} {LONG_TEXT}" for part in range(8)]}).encode()
    for number in range(38)
]
SMALL = json.dumps({"input": "bosch fridge freezer 186cm"}).encode()
OPTIONS = ("serve", "--port", "{port}", "--workers", "1")
COMMAND = farthing(*OPTIONS)
# A thread, and a queue of a tenth of a second: most of the calls are one too many.
PATIENT = {"FARTHING_CACHE": "off", "FARTHING_TIMEOUT_MS": "600000"}
SMALL_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "100"}
NO_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "1"}
LARGE_QUEUE = {**PATIENT, "FARTHING_QUEUE_MAX_MS": "600000"}


def booked(server: Server, state: Path) -> Counter[tuple[str, str, int]]:
    """Entries in the ledger by tenant, kind and status, once the server has ended by itself."""
    assert server.process.wait(STOP_S) == -signal.SIGTERM
    folder = state / "farthing"
    entries = entries_of(f"sqlite:///{folder / 'ledger.db'}", folder / "spool")
    return Counter((entry.tenant, entry.kind, entry.status) for entry in entries)


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
    # The moment after, there is room again: at once, but for an event loop that is late itself.
    deadline_s = time.monotonic() + REQUEST_S
    while (again := server.client.post(PATH, content=SMALL).status_code) == 503:
        assert time.monotonic() < deadline_s, "There is never room again."
        statuses[503] += 1
    assert again == 200
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
    # A request in the body's place: it would be answered were it not thrown away.
    body = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + b" " * 1000
    with ExitStack() as stack:

        def ask() -> tuple[socket, tuple[int, dict[str, str], bytes]]:
            connection = stack.enter_context(server.connect())
            connection.sendall(head(len(body)))
            return connection, answered(connection)

        filling, (connection, (status, headers, problem)) = while_full(server, ask)
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

    def ask() -> tuple[int, dict[str, str], bytes]:
        with server.connect() as connection:
            connection.sendall(head(len(SMALL), "Expect: 100-continue"))
            return answered(connection)

    filling, (status, headers, problem) = while_full(server, ask)
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

    def ask() -> list[set[int]]:
        return [
            {status for status, _, _ in told(asking(server, [SMALL] * 30, *lines))}
            for lines in ((), (bearer,))
        ]

    filling, statuses = while_full(server, ask, bearer)
    assert statuses == [{401}, {503}]
    assert [status for status, _, _ in told([filling])] == [200]


@pytest.fixture(scope="module")
def entry() -> str:
    return run_to_end(farthing("keys", "init"), {}).stdout.strip().removeprefix("FARTHING_KEYS=")


def test_callers_who_leave_are_not_computed_for(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / "state"
    server = serve(COMMAND, LARGE_QUEUE | {"XDG_STATE_HOME": str(state)})
    staying, leaving = asking(server, CALLS[:2]), asking(server, LONG_CALLS)
    # Who leaves before his call is read is not known at all.
    await_reading(server)
    for connection in leaving:
        connection.close()
    assert [status for status, _, _ in told(staying)] == [200, 200]
    server.client.close()
    server.process.send_signal(signal.SIGTERM)
    entries = booked(server, state)
    gone, answers = entries["house", "refusal", 499], entries["local", "answer", 200]
    assert gone >= len(leaving) // 2
    assert gone + answers == len(staying) + len(leaving)


def test_a_server_that_is_stopped_under_load_answers_what_it_began_and_refuses_what_comes(
    serve: Serve, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    server = serve(patient(*OPTIONS), LARGE_QUEUE | {"XDG_STATE_HOME": str(state)})
    idle = [server.connect() for _ in range(3)]
    for connection in idle:
        connection.sendall(head(len(SMALL)) + SMALL)
        assert answered(connection)[0] == 200
    waiting = asking(server, CALLS[:12])
    await_reading(server)
    server.process.send_signal(signal.SIGTERM)
    # The first may come before the stop is noticed.
    idle[0].sendall(head(len(SMALL)) + SMALL)
    await_stopping(server)
    for connection in idle[1:]:
        connection.sendall(head(len(SMALL)) + SMALL)
    late_answers = told(idle)
    answers = told(waiting)
    assert [status for status, _, _ in answers] == [200] * len(waiting)
    for status, headers, body in late_answers:
        assert status in {200, 503}
        if status == 503:
            assert headers["connection"] == "close"
            assert_refused(headers, body)
    assert [status for status, _, _ in late_answers[1:]] == [503, 503]
    entries = booked(server, state)
    with pytest.raises(OSError):
        server.connect()
    statuses = Counter(status for status, _, _ in [*late_answers, *answers])
    assert entries["local", "answer", 200] == statuses[200] + len(idle)
    assert entries["house", "refusal", 503] == statuses[503]


def test_small_calls_pass_a_huge_one(serve: Serve) -> None:
    server = serve(COMMAND, LARGE_QUEUE)
    process = psutil.Process(server.process.pid)
    texts = [f"{number} {LONG_TEXT}" for number in range(120)]
    have_passed = False
    # Where this process is kept from asking, the huge one may be over by then.
    for _ in range(ATTEMPTS):
        before_s = process.cpu_times().user
        [huge] = asking(
            server, [json.dumps({"input": texts, "encoding_format": "base64"}).encode()]
        )
        # Only computing takes so much of a core; reading it takes less.
        while process.cpu_times().user < before_s + 0.8 and not select([huge], [], [], 0.01)[0]:
            pass
        for _ in range(3):
            assert server.client.post(PATH, content=SMALL).status_code == 200
        have_passed = not select([huge], [], [], 0)[0]
        [(status, _, body)] = told([huge])
        assert status == 200
        assert len(body["data"]) == len(texts)
        if have_passed:
            break
    assert have_passed
