"""A kept-alive HTTP connection, with as much of HTTP as the APIs of DynamoDB, S3 and OSS need.

`http.client` would take 20 ms to import on the way of a cold start, most of it for the MIME parser
that it reads headers with; this takes one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ssl import SSLContext

LINE_BYTES_MAX = 65_536
HEADERS_MAX = 100
PIECE_BYTES_MAX = 1 << 20
PORTS = {True: 443, False: 80}
# Answers that have no body, whatever they say of its length.
BODILESS = {204, 304}


class Answer(NamedTuple):
    """`keeps_alive`: the connection takes another request."""

    status: int
    body: bytes
    keeps_alive: bool


class Head(NamedTuple):
    """What comes before an answer's body; names are lower-case."""

    status: int
    headers: dict[bytes, bytes]
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
        """The answer to a POST to `/`, where it states its length; `headers` are all but that."""
        head = self.ask("POST", "/", {**headers, "content-length": str(len(body))}, (body,))
        if not head.headers.get(b"content-length", b"").isdigit():
            raise ConnectionError("the answer states no length")
        return Answer(head.status, b"".join(self.pieces(head)), head.keeps_alive)

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Head:
        """The head of the answer to a request whose headers state its body's length.

        Unless the method is HEAD, the body must be read with `pieces` before anything else is
        asked. A server may answer and hang up before it has read the body; then that is the answer.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        first = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        refused = False
        try:
            for piece in body:
                self._socket.sendall(first + piece)
                first = b""
            if first:
                self._socket.sendall(first)
        except (BrokenPipeError, ConnectionResetError):
            refused = True
        version, _, rest = self._line().partition(b" ")
        status = rest[:3]
        if not version.startswith(b"HTTP/1.") or not status.isdigit():
            raise ConnectionError("the answer is not HTTP")
        said = self._headers()
        stays = version != b"HTTP/1.0" and said.get(b"connection", b"").lower() != b"close"
        return Head(int(status), said, stays and not refused)

    def pieces(self, head: Head) -> Iterator[bytes]:
        """The body of the answer with this head, in pieces of up to 1 MB."""
        if head.status in BODILESS:
            return
        if head.headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            while length := self._chunk_bytes():
                yield from self._exactly(length)
                self._line()
            self._headers()
            return
        stated = head.headers.get(b"content-length", b"")
        if not stated.isdigit():
            raise ConnectionError("the answer states no length")
        yield from self._exactly(int(stated))

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _chunk_bytes(self) -> int:
        stated = self._line().partition(b";")[0].strip()
        if not stated.isalnum():
            raise ConnectionError("the answer states no length")
        try:
            return int(stated, 16)
        except ValueError:
            raise ConnectionError("the answer states no length") from None

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._answers.read(min(length, PIECE_BYTES_MAX))
            if not piece:
                raise ConnectionError("the answer ended early")
            length -= len(piece)
            yield piece

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
