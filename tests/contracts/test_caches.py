"""What the answer cache asks of a store, asked of each; Valkey speaks Redis's protocol."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

from farthing.billing.stores.aws import DynamoDbClient
from farthing.billing.stores.credentials import credentials_of
from farthing.serving.cache import redis
from farthing.serving.cache.key import KEY_BYTES
from farthing.serving.cache.memory import MemoryStore
from farthing.serving.cache.stores import store_at
from tests.core.redis_server import RedisServer, cluster, tls_server
from tests.ledger import dynamodb
from tests.ledger.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.serving.cache.ports import Store

STORES = ("memory", "redis", "tls", "cluster", "dynamodb")
ROW_BYTES = 1_600
HOUR_S, YEAR_S = 3_600, 365 * 24 * 3_600
_numbers = itertools.count(1)


@pytest.fixture(autouse=True, scope="module")
def patient_redis() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(redis, "CONNECT_S_MAX", PATIENCE_S)
        patched.setattr(redis, "ANSWER_S_MAX", PATIENCE_S)
        yield


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tls_server(tmp_path_factory.mktemp("tls")) as url:
        yield url


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    kind = request.param
    if kind == "memory":
        opened: Store = MemoryStore(1 << 24)
    elif kind == "dynamodb":
        opened = store_at(new_table(request.getfixturevalue("dynamodb_server")))()
    else:
        opened = store_at(request.getfixturevalue(f"{kind}_url"))()
    yield opened
    opened.close()


def new_table(endpoint: str) -> str:
    """The address of an empty table for answers."""
    name = f"answers-{next(_numbers)}"
    client = DynamoDbClient(dynamodb.REGION, credentials_of(dynamodb.CREDENTIALS), endpoint)
    client.call(
        "CreateTable",
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "B"}],
    )
    client.close()
    return f"dynamodb:{name}?region={dynamodb.REGION}&endpoint={endpoint}"


def new_keys(count: int) -> list[bytes]:
    return [os.urandom(KEY_BYTES) for _ in range(count)]


def test_what_was_put_is_got_in_the_order_of_the_keys(store: Store) -> None:
    one, other, third, absent = new_keys(4)
    values = [os.urandom(ROW_BYTES), b"\x00\r\n\xff", b"x"]
    store.put_many(list(zip((one, other, third), values, strict=True)), HOUR_S)
    assert store.get_many([third, absent, one, other]) == [values[2], None, values[0], values[1]]
    assert store.get_many([absent]) == [None]
    assert store.get_many([one]) == [values[0]]


def test_the_last_value_of_a_key_counts(store: Store) -> None:
    (key,) = new_keys(1)
    store.put_many([(key, b"first")], HOUR_S)
    store.put_many([(key, b"second")], YEAR_S)
    assert store.get_many([key]) == [b"second"]
    store.put_many([(key, b"third"), (key, b"fourth")], HOUR_S)
    assert store.get_many([key]) == [b"fourth"]


def test_more_keys_than_one_request_takes(store: Store) -> None:
    pairs = [(key, key * 2) for key in new_keys(230)]
    store.put_many(pairs, HOUR_S)
    found = store.get_many([key for key, _ in pairs])
    assert list(found) == [value for _, value in pairs]


def test_a_key_of_any_bytes_is_a_key(store: Store) -> None:
    keys = [bytes(KEY_BYTES), b"\r\n{}" * 5, b"\xff" * KEY_BYTES]
    store.put_many([(key, key[:4]) for key in keys], HOUR_S)
    assert list(store.get_many(keys)) == [key[:4] for key in keys]


def test_nothing_is_found_once_its_time_has_passed(store: Store) -> None:
    brief, lasting = new_keys(2)
    store.put_many([(brief, b"brief")], 1)
    store.put_many([(lasting, b"lasting")], HOUR_S)
    time.sleep(1.2)
    found = store.get_many([brief, lasting])
    # DynamoDB deletes when it comes to it; its readers go by the entry's own age.
    if type(store).__name__ != "DynamoDbStore":
        assert found[0] is None
    assert found[1] == b"lasting"


def test_dynamodb_is_told_when_an_item_may_be_deleted(dynamodb_server: str) -> None:
    url = new_table(dynamodb_server)
    store = store_at(url)()
    before_s = int(time.time())
    store.put_many([(new_keys(1)[0], b"value")], YEAR_S)
    after_s = int(time.time())
    store.close()
    client = DynamoDbClient(dynamodb.REGION, credentials_of(dynamodb.CREDENTIALS), dynamodb_server)
    table = url.removeprefix("dynamodb:").partition("?")[0]
    (item,) = client.call("Scan", TableName=table)["Items"]
    client.close()
    assert before_s <= int(item["expires_at"]["N"]) - YEAR_S <= after_s
