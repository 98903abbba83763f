"""Clients that take their time, and more of them than a server has room for."""

from __future__ import annotations

import itertools
import json
import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.functions.impatient import BODY_S, GAP_S, HEAD_S, impatient
from tests.functions.server import Server, farthing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

    from tests.conftest import Serve

BODY = json.dumps({"inputs": "bosch fridge freezer 186cm"}).encode()
HEAD = (
    b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
) % len(BODY)
FILES_MAX = 128
CONNECTIONS_MAX = FILES_MAX // 2
# For a machine that is busy with other things.
PATIENCE_S = 60
ATTEMPTS = 5


@pytest.fixture(scope="module")
def server(serve_for_session: Serve) -> Server:
    return serve_for_session(impatient("serve", "--port", "{port}"))


def test_a_connection_on_which_nothing_comes_is_closed(server: Server) -> None:
    with server.connect() as connection:
        connection.settimeout(PATIENCE_S)
        assert connection.recv(1000) == b""


@pytest.mark.parametrize("after", ["nothing", "an answer"])
def test_headers_that_come_by_drops_are_not_waited_for_without_end(
    server: Server, after: str
) -> None:
    drops = itertools.chain(HEAD[:-2], itertools.repeat(ord("a")))
    first = HEAD + BODY if after == "an answer" else bytes([next(drops)])
    with opened(server, first) as connection:
        if after == "an answer":
            assert answered(connection)[0] == 200
        received = drip(connection, drops)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert_answers(server)


def test_a_body_that_stops_is_refused_in_our_words(server: Server) -> None:
    started_s = time.monotonic()
    with opened(server, HEAD + BODY[:5]) as connection:
        status, headers, body = answered(connection)
        assert time.monotonic() - started_s >= GAP_S
        assert status == 408
        assert headers["connection"] == "close"
        assert json.loads(body)["type"] == "urn:farthing:problem:body-too-slow"
        assert connection.recv(1) == b""
    assert_answers(server)


def test_who_asks_whether_to_send_a_body_and_is_told_no_is_let_go(server: Server) -> None:
    asking = HEAD.replace(b"application/json", b"text/csv\r\nExpect: 100-continue")
    with opened(server, asking) as connection:
        status, headers, _ = answered(connection)
        assert (status, headers["connection"]) == (415, "close")
        assert connection.recv(1) == b""


def test_a_body_that_comes_by_drops_is_refused_when_its_time_is_over(server: Server) -> None:
    took_s = 0.0
    # A machine that stands still between two drops makes a body that stops of them.
    for _ in range(ATTEMPTS):
        started_s = time.monotonic()
        with opened(server, HEAD.replace(b"%d" % len(BODY), b"100000")) as connection:
            received = drip(connection, itertools.repeat(ord(" ")))
        took_s = time.monotonic() - started_s
        assert received.startswith(b"HTTP/1.1 408 ")
        assert_answers(server)
        if took_s >= BODY_S:
            break
    assert took_s >= BODY_S


def test_many_slow_clients_take_nothing_from_a_quick_one(server: Server) -> None:
    slow = [server.connect() for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(HEAD[:20])
        assert_answers(server)
    finally:
        for connection in slow:
            connection.close()


@pytest.fixture(scope="module")
def small_server(serve_for_session: Serve) -> Server:
    """A server that may open few files, and so takes half as many connections."""
    command = shlex.join(farthing("serve", "--port", "{port}"))
    return serve_for_session(["sh", "-c", f"ulimit -n {FILES_MAX} && exec {command}"])


def test_a_flood_of_connections_is_told_to_come_again_and_those_before_it_go_on(
    small_server: Server,
) -> None:
    small_server.client.close()
    first: list[socket] = []
    late: list[socket] = []
    try:
        for _ in range(CONNECTIONS_MAX - 10):
            first.append(opened(small_server, HEAD + BODY))
            assert answered(first[-1])[0] == 200
        late += (opened(small_server, HEAD + BODY) for _ in range(20))
        told = [answered(connection) for connection in late]
        refused = [(headers, body) for status, headers, body in told if status == 503]
        assert 0 < len(refused) < len(late)
        for headers, body in refused:
            assert int(headers["retry-after"]) >= 1
            assert headers["connection"] == "close"
            assert json.loads(body)["type"] == "urn:farthing:problem:overloaded"
            assert json.loads(body)["charge"]["total"] == "0"
        first[0].sendall(HEAD + BODY)
        assert answered(first[0])[0] == 200
    finally:
        for connection in (*first, *late):
            connection.close()
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with opened(small_server, HEAD + BODY) as connection:
            if answered(connection)[0] == 200:
                break
    else:
        raise AssertionError("The server does not answer after the flood.")


def opened(server: Server, first: bytes) -> socket:
    """A connection on which the server has these bytes while it still waits for some.

    One on which this process was too slow to send them is given up; it may be closed already.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        started_s = time.monotonic()
        connection = server.connect()
        with suppress(OSError):
            connection.sendall(first)
            if time.monotonic() - started_s < HEAD_S / 2:
                return connection
        connection.close()
    raise AssertionError("This process is always too slow.")


def drip(connection: socket, data: Iterator[int]) -> bytes:
    """What the server says, at last, to a client that sends a byte now and then."""
    connection.settimeout(0.05)
    deadline_s = time.monotonic() + PATIENCE_S
    for byte in data:
        assert time.monotonic() < deadline_s, "The server waits for ever."
        try:
            connection.sendall(bytes([byte]))
            received = connection.recv(1000)
        except TimeoutError:
            continue
        return received
    raise AssertionError


def answered(connection: socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer on a connection."""
    with connection.makefile("rb") as reader:
        status = int(reader.readline().split()[1])
        headers = {}
        while (line := reader.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, reader.read(int(headers["content-length"]))


def assert_answers(server: Server) -> None:
    with opened(server, HEAD + BODY) as connection:
        assert answered(connection)[0] == 200
