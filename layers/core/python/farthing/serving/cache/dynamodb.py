"""One DynamoDB table, on demand: HASH `pk` (B), and `expires_at` (N) as its time-to-live attribute.

    dynamodb:TABLE[?region=REGION][&endpoint=URL]

DynamoDB deletes what has expired within days; until then readers tell by the entry's own age. A
vector of 384 float32 takes half a read unit to ask for and two write units to keep. A function's
role needs dynamodb:BatchGetItem and BatchWriteItem.
"""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from farthing.billing.stores.aws import DynamoDbClient
from farthing.billing.stores.credentials import credentials_of
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html and
# API_BatchWriteItem.html
READ_KEYS_MAX = 100
WRITTEN_ITEMS_MAX = 25


class DynamoDbStore:
    """Takes what it is given of an answer: a busy table leaves keys and items for another time."""

    def __init__(self, table: str, client: DynamoDbClient) -> None:
        self._table = table
        self._client = client

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: dict[str, bytes] = {}
        names = [b64encode(key).decode() for key in keys]
        for start in range(0, len(names), READ_KEYS_MAX):
            asked = [{"pk": {"B": name}} for name in names[start : start + READ_KEYS_MAX]]
            request = {self._table: {"Keys": asked, "ProjectionExpression": "pk,v"}}
            answer = self._client.call("BatchGetItem", RequestItems=request)
            for item in answer["Responses"].get(self._table, ()):
                found[item["pk"]["B"]] = b64decode(item["v"]["B"])
        return [found.get(name) for name in names]

    def put_many(self, pairs: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        expires_at = {"N": str(int(time.time()) + ttl_s)}
        # One request may not name a key twice.
        items = [_put(key, value, expires_at) for key, value in dict(pairs).items()]
        for start in range(0, len(items), WRITTEN_ITEMS_MAX):
            request = {self._table: items[start : start + WRITTEN_ITEMS_MAX]}
            self._client.call("BatchWriteItem", RequestItems=request)

    def close(self) -> None:
        self._client.close()


def _put(key: bytes, value: bytes, expires_at: dict[str, str]) -> dict[str, Any]:
    item = {
        "pk": {"B": b64encode(key).decode()},
        "v": {"B": b64encode(value).decode()},
        "expires_at": expires_at,
    }
    return {"PutRequest": {"Item": item}}


def open_store(url: str, environ: Mapping[str, str] = os.environ) -> DynamoDbStore:
    """The store at an address as above; asks for nothing yet.

    Raises `SettingsError` for an address without table or region, or without an access key.
    """
    address = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    region = query.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not address.path or address.netloc or not region:
        raise SettingsError(
            "FARTHING_CACHE names no DynamoDB table in a region. Use "
            "dynamodb:TABLE?region=REGION, or set AWS_REGION."
        )
    credentials = credentials_of(environ, "A cache in DynamoDB")
    client = DynamoDbClient(region, credentials, query.get("endpoint", ""))
    return DynamoDbStore(address.path, client)
