"""Callers who ask a server for embeddings over connections of their own, and fill it up."""

from __future__ import annotations

import json
import time
from select import select
from typing import TYPE_CHECKING, Any, TypeVar

from tests.functions.server import REQUEST_S, STOP_S, Server
from tests.functions.test_slow_clients import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

T = TypeVar("T")

PATH = "/v1/embeddings"
ATTEMPTS = 5
LONG_TEXT = "stainless steel frost free fridge freezer 186cm " * 60
# A twentieth of a second of work or more each, and no text twice.
CALLS = [
    json.dumps({"input": [f"{number} {part} {LONG_TEXT}" for part in range(2)]}).encode()
    for number in range(40)
]
# A second of work in one call, of which slices are computed between the calls of others.
HUGE = json.dumps({"input": [f"{number} {LONG_TEXT}" for number in range(40)]}).encode()


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


def await_reading(server: Server) -> None:
    """Returns once the server has read all that was sent before: it takes connections in turn."""
    # It may be asked in the very moment in which it takes those before; not a second time.
    for _ in range(2):
        with server.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answered(connection)[0] == 200


def await_stopping(server: Server) -> None:
    """Returns once the server has noticed that it is to stop: it listens no more."""
    deadline_s = time.monotonic() + STOP_S
    while time.monotonic() < deadline_s:
        try:
            server.connect().close()
        except ConnectionError:
            return
        time.sleep(0.01)
    raise AssertionError("The server goes on listening.")


def has_room(server: Server, *more: str) -> bool:
    """Whether a call is let in that is long itself: of a caller's own calls no more comes before
    one than it asks for, so that a quick machine has room for a small one even in a queue of a
    millisecond.
    """
    [(status, _, _)] = told(asking(server, CALLS[-1:], *more))
    return status == 200


def filled(server: Server, *more: str) -> socket:
    """The connection of a call that fills the server: while it waits there is no room."""
    deadline_s = time.monotonic() + REQUEST_S
    while time.monotonic() < deadline_s:
        [filling] = asking(server, [HUGE], *more)
        while not select([filling], [], [], 0)[0]:
            if not has_room(server, *more):
                return filling
        # The other came first, and this was one too many itself.
        told([filling])
    raise AssertionError("There is always room.")


def while_full(server: Server, ask: Callable[[], T], *more: str) -> tuple[socket, T]:
    """The connection of a call that fills the server, and what `ask` came to in the meantime.

    Where `ask` took so long that there is room again, both are done anew.
    """
    for _ in range(ATTEMPTS):
        filling = filled(server, *more)
        found = ask()
        if not has_room(server, *more):
            return filling, found
        told([filling])
    raise AssertionError("The server is never full for long enough.")
