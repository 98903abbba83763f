"""A kept-alive HTTP connection for answers of a stated length, as AWS's JSON APIs give them.

`http.client` would take 20 ms to import on the way of a cold start, most of it for the MIME parser
that it reads headers with; this takes one. It posts, and does nothing else of HTTP.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ssl import SSLContext

LINE_BYTES_MAX = 65_536
HEADERS_MAX = 100
PORTS = {True: 443, False: 80}


class Answer(NamedTuple):
    """`keeps_alive`: the connection takes another request."""

    status: int
    body: bytes
    keeps_alive: bool


class Connection:
    """Connected to `host` (`name` or `name:port`) when made, by TLS where a context is given.

    Everything here raises `OSError`: where nobody answers within the times, and where what comes
    is no such answer.
    """

    def __init__(
        self, host: str, context: SSLContext | None, *, connect_s_max: float, read_s_max: float
    ) -> None:
        name, _, port = host.partition(":")
        address = (name, int(port or PORTS[context is not None]))
        self._socket = socket.create_connection(address, connect_s_max)
        try:
            # Two small writes would wait for each other's acknowledgement.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=name)
            self._socket.settimeout(read_s_max)
            self._answers = self._socket.makefile("rb")
        except OSError:
            self._socket.close()
            raise

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to a POST to `/`; `headers` are all but the length."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = f"POST / HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode("latin-1") + body)
        version, _, rest = self._line().partition(b" ")
        status = rest[:3]
        if not version.startswith(b"HTTP/1.") or not status.isdigit():
            raise ConnectionError("the answer is not HTTP")
        said = self._headers()
        length = said.get(b"content-length", b"")
        if not length.isdigit():
            raise ConnectionError("the answer states no length")
        received = self._answers.read(int(length))
        if len(received) < int(length):
            raise ConnectionError("the answer ended early")
        keeps_alive = version != b"HTTP/1.0" and said.get(b"connection", b"").lower() != b"close"
        return Answer(int(status), received, keeps_alive)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _headers(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for _ in range(HEADERS_MAX):
            line = self._line()
            if not line:
                return found
            name, _, value = line.partition(b":")
            found[name.strip().lower()] = value.strip()
        raise ConnectionError("the answer has too many headers")

    def _line(self) -> bytes:
        line = self._answers.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise ConnectionError("the answer ended early")
        return line.rstrip(b"\r\n")
