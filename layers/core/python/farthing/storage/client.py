"""Signed requests to one bucket, over kept-alive connections, asked again where that may help.

boto3 takes a quarter of a second to import, on the way of a cold start.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections import deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from farthing.billing.stores.signing import Signer, canonical_query
from farthing.billing.stores.wire import Connection
from farthing.errors import LedgerError, StorageUnavailable
from farthing.storage.files import pieces

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from farthing.billing.stores.credentials import Credentials
    from farthing.billing.stores.wire import Head
    from farthing.storage.dialects import Dialect

CONNECT_S_MAX: Final = 3.0
READ_S_MAX: Final = 20.0
ATTEMPTS_MAX: Final = 4
PAUSE_S: Final = 0.1
CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,80})</Code>")


class Reply(NamedTuple):
    """`code` is the service's name for an error, "" where it says none."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    code: str
    attempts: int


class Unsuccessful(Exception):
    """The service answered a request for a file with something else."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


class BucketClient:
    """Thread-safe. Raises `StorageUnavailable` where no answer comes in `ATTEMPTS_MAX` attempts."""

    def __init__(
        self,
        dialect: Dialect,
        bucket: str,
        region: str,
        credentials: Callable[[], Credentials],
        endpoint: str = "",
    ) -> None:
        scheme, self._host, self._base = dialect.hosts(bucket, region, endpoint)
        self.dialect, self.bucket = dialect, bucket
        self._signer = Signer(dialect.scheme, dialect.service, region)
        self._credentials, self._secure = credentials, scheme == "https"
        self._idle: deque[Connection] = deque()
        self._context: ssl.SSLContext | None = None
        self._lock = Lock()

    def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Path = b"",
    ) -> Reply:
        """The whole answer to a request for `key`, or for the bucket where that is ""."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._exchange(method, key, query or {}, headers or {}, content) as answer:
                    head, body = answer
                    reply = _reply(head, b"".join(body), attempt)
            except OSError as error:
                self._failed(attempt, error)
            else:
                if not self._asks_again(head, attempt):
                    return reply
            _pause(attempt)

    def stream(self, key: str, start: int) -> Iterator[bytes]:
        """The bytes of `key` from `start` on; a connection that is lost is taken up again.

        Raises `Unsuccessful` for an answer that is none.
        """
        position, etag, attempt = start, "", 0
        while True:
            attempt += 1
            headers = {"range": f"bytes={position}-"} if position else {}
            if etag:
                headers["if-match"] = etag
            try:
                with self._exchange("GET", key, {}, headers, b"") as (head, body):
                    if head.status in {200, 206}:
                        etag = head.headers.get(b"etag", b"").decode("latin-1")
                        for piece in body:
                            position += len(piece)
                            yield piece
                        return
                    reply = _reply(head, b"".join(body), attempt)
            except OSError as error:
                self._failed(attempt, error)
            else:
                if not self._asks_again(head, attempt):
                    raise Unsuccessful(reply)
            _pause(attempt)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        # A storage has no end that its many users would know of.
        self.close()

    @contextmanager
    def _exchange(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        content: bytes | Path,
    ) -> Iterator[tuple[Head, Iterable[bytes]]]:
        """An answer's head and body; the connection is kept if the body was read to its end."""
        path = quote(f"{self._base}/{key}", safe="/~")
        asked = canonical_query(query, self.dialect.scheme)
        signed = self._signed(method, path, asked, headers, content)
        connection = self._connection()
        keeps = False
        try:
            head = connection.ask(
                method, f"{path}?{asked}" if asked else path, signed, pieces(content)
            )
            yield head, () if method == "HEAD" else connection.pieces(head)
            keeps = head.keeps_alive
        finally:
            if keeps:
                self._idle.append(connection)
            else:
                connection.close()

    def _signed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes | Path
    ) -> dict[str, str]:
        dialect, at = self.dialect, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        payload, length = _facts(content)
        if not dialect.signs_bodies:
            payload = "UNSIGNED-PAYLOAD"
        try:
            credentials = self._credentials()
        except LedgerError as error:
            raise StorageUnavailable(str(error)) from None
        sent = {
            **headers,
            "host": self._host,
            "content-length": str(length),
            dialect.header("date"): at,
            dialect.header("content-sha256"): payload,
        }
        if credentials.token:
            sent[dialect.header("security-token")] = credentials.token
        # OSS signs the bucket as a part of the path wherever it stands.
        signed_path = path if self._base or dialect.signs_bodies else f"/{self.bucket}{path}"
        sent["authorization"] = self._signer.authorization(
            credentials, at, method, signed_path, query, sent, payload
        )
        return sent

    def _connection(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        with self._lock:
            if self._secure and self._context is None:
                # Whoever reads from a folder does without.
                import ssl

                self._context = ssl.create_default_context()
        return Connection(
            self._host, self._context, connect_s_max=CONNECT_S_MAX, read_s_max=READ_S_MAX
        )

    def _asks_again(self, head: Head, attempt: int) -> bool:
        return (head.status >= 500 or head.status == 429) and attempt < ATTEMPTS_MAX

    def _failed(self, attempt: int, error: OSError) -> None:
        # The idle ones are as old, and as likely closed by the other side.
        self.close()
        if attempt >= ATTEMPTS_MAX:
            raise StorageUnavailable(
                f"{self.dialect.name} does not answer ({type(error).__name__}). See that the "
                "address names the bucket's region, and that this network reaches it."
            ) from error


def _reply(head: Head, body: bytes, attempts: int) -> Reply:
    found = CODE.search(body) if head.status >= 300 else None
    return Reply(head.status, head.headers, body, found[1].decode() if found else "", attempts)


def _pause(attempt: int) -> None:
    """Twice as long each time, and never two callers' alike."""
    time.sleep(PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _facts(content: bytes | Path) -> tuple[str, int]:
    """SHA-256 and length of what is sent."""
    digest, length = hashlib.sha256(), 0
    for piece in pieces(content):
        digest.update(piece)
        length += len(piece)
    return digest.hexdigest(), length
