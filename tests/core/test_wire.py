"""The light HTTP connection, against a server of the standard library and against odd ones."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from farthing.billing.stores.wire import Connection
from tests.functions.server import refusing_port

if TYPE_CHECKING:
    from collections.abc import Iterator

# A bound for a machine that is busy with other things; only silence is waited for in earnest.
PATIENCE_S = 60.0


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(207)
        self.send_header("Content-Length", str(len(body)))
        if self.headers["x-close"]:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A server that answers the first request with these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE_S)


def connect(host: str, read_s_max: float = PATIENCE_S) -> Connection:
    return Connection(host, None, connect_s_max=PATIENCE_S, read_s_max=read_s_max)


def test_requests_follow_each_other_on_one_connection(echo: str) -> None:
    connection = connect(echo)
    for body in (b"", b"one", b"x" * 1_000_000):
        assert connection.post({"host": echo}, body) == (207, body, True)
    assert connection.post({"host": echo, "x-close": "1"}, b"last") == (207, b"last", False)
    connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
    ],
)
def test_what_is_no_such_answer_is_an_os_error(answer: bytes) -> None:
    with saying(answer) as host:
        connection = connect(host)
        with pytest.raises(OSError):
            connection.post({"host": host}, b"{}")
        connection.close()


def test_an_older_server_is_not_asked_again_on_the_same_connection() -> None:
    with saying(b"HTTP/1.0 200 OK\nContent-Length: 2\n\n{}") as host:
        connection = connect(host)
        assert connection.post({"host": host}, b"{}") == (200, b"{}", False)
        connection.close()


def test_silence_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        connection = connect(host, read_s_max=0.2)
        with pytest.raises(TimeoutError):
            connection.post({"host": host}, b"{}")
        connection.close()


def test_nobody_there_is_an_os_error() -> None:
    with refusing_port() as port, pytest.raises(ConnectionRefusedError):
        connect(f"127.0.0.1:{port}")


def test_a_body_in_chunks_is_read_to_its_end() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nabcd\r\n3;note=x\r\nefg\r\n0\r\nTrailer: x\r\n\r\n"
    )
    with saying(answer) as host:
        connection = connect(host)
        head = connection.ask("GET", "/file?part=1", {"host": host})
        assert (head.status, head.keeps_alive) == (200, True)
        assert b"".join(connection.pieces(head)) == b"abcdefg"
        connection.close()


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"0x4", b"4\r\nab"])
def test_chunks_that_are_none_are_an_os_error(length: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + length + b"\r\n"
    with saying(answer) as host:
        connection = connect(host)
        head = connection.ask("GET", "/", {"host": host})
        with pytest.raises(OSError):
            list(connection.pieces(head))
        connection.close()


def test_an_answer_without_a_body_is_not_waited_for() -> None:
    with saying(b"HTTP/1.1 204 No Content\r\n\r\n") as host:
        connection = connect(host)
        head = connection.ask("DELETE", "/file", {"host": host})
        assert list(connection.pieces(head)) == []
        connection.close()


def test_a_refusal_that_comes_before_the_body_is_read_is_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 412 No\r\nContent-Length: 2\r\n\r\nno")
                client.shutdown(socket.SHUT_WR)
                client.recv(1000)
                # Closing with unread bytes resets the connection, as a server that refuses does.

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        connection = connect(host)
        body = (b"x" * 1_000_000 for _ in range(50))
        head = connection.ask("PUT", "/", {"host": host, "content-length": "50000000"}, body)
        assert (head.status, head.keeps_alive) == (412, False)
        connection.close()
        thread.join(PATIENCE_S)
