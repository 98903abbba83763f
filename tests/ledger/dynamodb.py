"""A stand-in for DynamoDB: moto's, one request at a time, over connections that stay open."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from farthing.billing.stores.aws import DynamoDbClient
from farthing.billing.stores.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class OneAtATime:
    """Services isolate requests, moto does not: DynamoDB's restores a copy of its tables when a
    transaction fails, and would lose what another thread wrote meanwhile; S3's compares an etag
    some time before it replaces the object."""

    def __init__(self, application: Any) -> None:
        self._application, self._lock = application, threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        with self._lock:
            return list(self._application(environ, start_response))


@contextmanager
def running() -> Iterator[str]:
    """Its endpoint. This process's environment, and so its children's, gets an access key."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class KeptAlive(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            """Says nothing."""

    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeptAlive)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    yield f"http://127.0.0.1:{server.server_port}"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.shutdown()
    server.server_close()
    thread.join()


def new_table(endpoint: str, name: str) -> str:
    """The address of an empty ledger."""
    client = DynamoDbClient(REGION, credentials_of(CREDENTIALS), endpoint)
    client.call(
        "CreateTable",
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )
    client.close()
    return f"dynamodb://{name}?region={REGION}&endpoint={endpoint}"
