"""A client for DynamoDB that loads in milliseconds: signed JSON over kept-alive connections.

boto3 takes a quarter of a second to import, on the way of a cold start. Operations, parameters and
results are DynamoDB's own API, version 2012-08-10; binary values are base64 text, as on the wire.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final

import msgspec

from farthing.billing.copies import call_in_copies
from farthing.billing.stores.signing import AWS, Signer
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from farthing.billing.stores.credentials import Credentials
    from farthing.billing.stores.wire import Connection

CONNECT_S_MAX: Final = 1.0
READ_S_MAX: Final = 2.0
CONNECTIONS_MAX: Final = 10
PAUSE_S: Final = 0.05
SERVICE: Final = "dynamodb"
TARGET: Final = "DynamoDB_20120810"
CONTENT_TYPE: Final = "application/x-amz-json-1.0"
THROTTLED: Final = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionInProgressException",
}


class Refused(StoreUnavailable):
    """DynamoDB answered that it would not; `code` is its name for why."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"The ledger's table does not take this ({code}). See that it exists in that region, "
            "with its keys pk and sk, and that this function's role may read and write it."
        )
        self.code = code


class DynamoDbClient:
    """Thread-safe. A request is tried twice, with one token, so that a write counts once."""

    def __init__(
        self, region: str, credentials: Callable[[], Credentials], endpoint: str = ""
    ) -> None:
        suffix = ".cn" if region.startswith("cn-") else ""
        address = endpoint or f"https://dynamodb.{region}.amazonaws.com{suffix}"
        scheme, _, host = address.rstrip("/").partition("://")
        self._secure, self._host = scheme == "https", host
        self._region, self._credentials = region, credentials
        self._begin()
        # Two processes on one connection would read each other's answers.
        call_in_copies(self._begin)
        self._context: SSLContext | None = None

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The result of one operation, `GetItem` say.

        Raises `Refused` with DynamoDB's code, `StoreUnavailable` where nothing answers in
        seconds; then a write may or may not have happened.
        """
        if operation == "TransactWriteItems":
            parameters.setdefault("ClientRequestToken", os.urandom(16).hex())
        body = msgspec.json.encode(parameters)
        try:
            status, answer = self._exchange(operation, body)
            again = status >= 500 or (status != 200 and _code(answer) in THROTTLED)
        except OSError:
            again = True
        if again:
            time.sleep(PAUSE_S * (1 + os.urandom(1)[0] / 255) / 2)
            try:
                status, answer = self._exchange(operation, body)
            except OSError as error:
                raise StoreUnavailable(
                    f"The ledger's table does not answer ({type(error).__name__}). See that "
                    "FARTHING_LEDGER names it, and that this network reaches DynamoDB."
                ) from error
        if status != 200:
            raise Refused(_code(answer) or f"HTTP {status}")
        result: dict[str, Any] = msgspec.json.decode(answer)
        return result

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _begin(self) -> None:
        self._idle: deque[Connection] = deque()
        self._turn = BoundedSemaphore(CONNECTIONS_MAX)

    def _exchange(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of one request. Raises `OSError` where none comes."""
        with self._turn:
            return self._post(operation, body)

    def _post(self, operation: str, body: bytes) -> tuple[int, bytes]:
        headers = signed_headers(
            self._host,
            f"{TARGET}.{operation}",
            body,
            self._region,
            self._credentials(),
            time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        )
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            answer = connection.post(headers, body)
        except OSError:
            connection.close()
            raise
        if answer.keeps_alive:
            self._idle.append(connection)
        else:
            connection.close()
        return answer.status, answer.body

    def _connect(self) -> Connection:
        # Imported here because they take time, and a call is answered from a lease.
        from farthing.billing.stores.wire import Connection

        if self._secure and self._context is None:
            import ssl

            self._context = ssl.create_default_context()
        return Connection(
            self._host, self._context, connect_s_max=CONNECT_S_MAX, read_s_max=READ_S_MAX
        )


def signed_headers(
    host: str, target: str, body: bytes, region: str, credentials: Credentials, at: str
) -> dict[str, str]:
    """The headers of a POST to `/`, signed; `at` is `20261122T050000Z`."""
    headers = {
        "content-type": CONTENT_TYPE,
        "host": host,
        "x-amz-date": at,
        "x-amz-target": target,
    }
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    signer = Signer(AWS, SERVICE, region)
    headers["authorization"] = signer.authorization(
        credentials, at, "POST", "/", "", headers, hashlib.sha256(body).hexdigest()
    )
    return headers


def _code(answer: bytes) -> str:
    """DynamoDB's name for an error: `…#ConditionalCheckFailedException` without what precedes."""
    try:
        kind = msgspec.json.decode(answer)["__type"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return str(kind).rpartition("#")[2]
