"""Calls of webhooks: signed, and to public addresses only.

Signatures are those of Standard Webhooks, version 1:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import http.client
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from farthing.errors import InvalidRequest, SettingsError
from farthing.serving.jobs.targets import Target, is_public, read_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins, by the specification
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
CONNECT_S: Final = 5.0
# Of a whole call: whoever answers a byte at a time does not hold a worker for long.
CALL_S: Final = 15.0


class Webhooks:
    """Calls webhooks in the name of one service.

    A name is resolved once, and what is connected to is what was checked; every address that it
    stands for must be public. Redirections are not followed. `is_allowed`, `trust` and `ports` are
    for tests on loopback. Raises `SettingsError` for what is no secret.
    """

    def __init__(
        self,
        secret: str,
        *,
        is_allowed: Callable[[str], bool] = is_public,
        read: Callable[[str], Target] = read_target,
        trust: ssl.SSLContext | None = None,
        call_s: float = CALL_S,
    ) -> None:
        self._key = _key_of(secret)
        self._is_allowed = is_allowed
        self._read = read
        self._trust = trust or ssl.create_default_context()
        self._call_s = call_s

    def call(self, url: str, message_id: str, body: bytes) -> int:
        """The HTTP status that the webhook answered; 0 where there was no call or no answer.

        Never raises for what a webhook's host does.
        """
        try:
            target = self._read(url)
            address = self._resolve(target)
        except (InvalidRequest, OSError, UnicodeError):
            return 0
        if address is None:
            return 0
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "farthing",
            "Connection": "close",
            **self.signed(message_id, int(time.time()), body),
        }
        connection = _Pinned(target, address, self._trust)
        try:
            with _ended_after(self._call_s, connection):
                connection.request("POST", target.path, body, headers)
                return connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError):
            return 0
        finally:
            connection.close()

    def signed(self, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
        """The headers by which the receiver knows who sent this, when, and whether before."""
        content = f"{message_id}.{at_s}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._key, content, "sha256")).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"v1,{signature}",
        }

    def _resolve(self, target: Target) -> str | None:
        """The first of the name's addresses; None unless all of them may be called."""
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = [str(one[4][0]) for one in found]
        if not addresses or not all(map(self._is_allowed, addresses)):
            return None
        return addresses[0]


class _Pinned(http.client.HTTPSConnection):
    """A connection to an address that was checked, whose certificate must be the name's."""

    def __init__(self, target: Target, address: str, trust: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port, timeout=CONNECT_S, context=trust)
        self._address = address
        self._trust = trust
        self._is_over = False

    def connect(self) -> None:
        bare = socket.create_connection((self._address, self.port), self.timeout)
        # The handshake comes afterwards, so that whoever draws it out can be hung up on.
        self.sock = self._trust.wrap_socket(
            bare, server_hostname=self.host, do_handshake_on_connect=False
        )
        if self._is_over:
            raise TimeoutError
        self.sock.do_handshake()

    def hang_up(self) -> None:
        """Ends the call, from another thread: what waits for it fails, now or when it connects."""
        self._is_over = True
        if (connected := self.sock) is not None:
            with suppress(OSError):
                # The bare socket's own: TLS's would first take away what the call is just using.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


@contextmanager
def _ended_after(seconds: float, connection: _Pinned) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise SettingsError(
            f"FARTHING_WEBHOOK_SECRET is not {SECRET_PREFIX} and the base64 of {SECRET_BYTES_MIN} "
            f"to {SECRET_BYTES_MAX} random bytes. Make one with `openssl rand -base64 32`."
        )
    return key
