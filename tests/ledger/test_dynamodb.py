"""What is DynamoDB's own: pages that land on themselves, what they cost, and contention."""

from __future__ import annotations

import json
import math
import random
import string
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.stores import open_store
from farthing.billing.stores.aws import DynamoDbClient, Refused
from farthing.billing.stores.credentials import credentials_of
from farthing.billing.stores.dynamodb import DynamoDbStore, pages, table
from farthing.billing.stores.dynamodb.table import Table
from farthing.billing.tenants import Budget, Lease, Tenant
from farthing.errors import LedgerError, StoreUnavailable
from tests.ledger import dynamodb
from tests.ledger.facts import HOUR_MS, NOON_MS, entry, record, root, usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.ledger import Entry

ALWAYS = 0, 2**62


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with dynamodb.running() as found:
        yield found


class Counting(DynamoDbClient):
    """A client that remembers what it was asked."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(dynamodb.REGION, credentials_of(dynamodb.CREDENTIALS), endpoint)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        self.asked.append((operation, parameters))
        return super().call(operation, **parameters)

    def puts(self) -> list[dict[str, Any]]:
        return [asked["Item"] for operation, asked in self.asked if operation == "PutItem"]


@pytest.fixture
def client(endpoint: str, request: pytest.FixtureRequest) -> Iterator[Counting]:
    counting = Counting(endpoint)
    dynamodb.new_table(endpoint, table_of(request))
    yield counting
    counting.close()


@pytest.fixture
def store(client: Counting, request: pytest.FixtureRequest) -> DynamoDbStore:
    return DynamoDbStore(Table(table_of(request), client))


def table_of(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("[", "-").replace("]", "")


def lifelike(count: int) -> list[Entry]:
    """Entries whose ids do not compress, as a platform's do not; a lease lasts a hundred calls."""
    chance = random.Random(17)
    leases = ["".join(chance.choices("0123456789abcdef", k=32)) for _ in range(count // 100 + 1)]
    return [
        entry(
            number,
            writer="5b1c0f6e9d2a4c37",
            request_id="".join(chance.choices("0123456789abcdef", k=32)),
            at_ms=NOON_MS + number * 37,
            tenant=chance.choice(["acme", "globex", "initech"]),
            lease=leases[number // 100],
            usage=usage(
                prompt_tokens=chance.randrange(4, 128), busy_ns=chance.randrange(10**5, 10**7)
            ),
        )
        for number in range(1, count + 1)
    ]


def write_units(items: list[dict[str, Any]]) -> int:
    """A unit for each kilobyte begun, over names and values; base64 is the wire's, not the item's.

    Source: "DynamoDB item sizes and formats", developer guide.
    """
    units = 0
    for item in items:
        size = 0
        for name, value in item.items():
            ((kind, content),) = value.items()
            size += len(name) + (len(content) * 3 // 4 if kind == "B" else len(content.encode()))
        units += math.ceil(size / 1024)
    return units


@pytest.mark.parametrize(("size", "units_max"), [(100, 52_000), (1_000, 43_000)])
def test_a_million_entries_take_what_the_documentation_says(
    store: DynamoDbStore, client: Counting, size: int, units_max: int
) -> None:
    entries = lifelike(5_000)
    for first in range(0, len(entries), size):
        store.append(entries[first : first + size])
    units = write_units(client.puts()) * 1_000_000 // len(entries)
    print(f"{size} entries a group: {units:,} write units a million, ${units * 0.625e-6:.4f}")
    assert units <= units_max
    assert list(store.entries(*ALWAYS)) == entries


def test_a_group_delivered_again_lands_on_its_own_page(
    store: DynamoDbStore, client: Counting
) -> None:
    group = lifelike(120)
    store.append(group)
    store.append(reversed(group))
    keys = {(item["pk"]["S"], item["sk"]["S"]) for item in client.puts()}
    assert len([place for place in keys if place[0].startswith("entries#")]) == 1
    store.append(group[:60])
    assert list(store.entries(*ALWAYS)) == group


def test_the_page_that_was_kept_first_counts(
    store: DynamoDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept_ms in (6_000, 5_000, 9_000, 3_000, 8_000, 7_000):
        monkeypatch.setattr(pages.time, "time_ns", lambda now_ms=kept_ms: now_ms * 1_000_000)
        store.append([entry(1, tenant=f"kept-{kept_ms}"), entry(2)])
    assert [one.tenant for one in store.entries(*ALWAYS)] == ["kept-3000", "acme"]


def test_a_page_stays_below_what_an_item_may_hold(store: DynamoDbStore, client: Counting) -> None:
    chance = random.Random(3)
    text = string.ascii_letters + string.digits
    group = [
        entry(number, model="".join(chance.choices(text, k=2_000))) for number in range(1, 500)
    ]
    store.append(group)
    sizes = [len(item["facts"]["B"]) for item in client.puts() if "facts" in item]
    assert len(sizes) > 2
    assert max(sizes) <= 350_000
    assert list(store.entries(*ALWAYS)) == group


def test_only_hours_that_have_pages_are_read(store: DynamoDbStore, client: Counting) -> None:
    store.append([entry(1), entry(2, at_ms=NOON_MS + 30 * HOUR_MS)])
    store.append_records([record()])
    client.asked.clear()
    assert len(list(store.entries(*ALWAYS))) == 2
    assert len(client.asked) == 3
    assert list(store.entries(NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS)) == []
    assert len(client.asked) == 4


def test_a_query_of_many_megabytes_is_read_to_its_end(
    store: DynamoDbStore, client: Counting
) -> None:
    chance = random.Random(3)
    group = [entry(number, model=chance.randbytes(3_000).hex()) for number in range(1, 601)]
    store.append(group)
    client.asked.clear()
    assert list(store.entries(*ALWAYS)) == group
    assert any("ExclusiveStartKey" in asked for _, asked in client.asked)


@pytest.mark.parametrize("spoilt", [b"", b"not zlib", zlib.compress(b'{"writer": 5}')])
def test_a_page_that_was_spoilt_is_told_not_thrown(
    store: DynamoDbStore, client: Counting, spoilt: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pages.zlib, "compress", lambda _: spoilt)
        store.append([entry()])
    with pytest.raises(LedgerError, match="not what was written"):
        list(store.entries(*ALWAYS))


def test_a_table_that_is_not_there_is_told_so(endpoint: str) -> None:
    store = open_store(f"dynamodb://missing?region=us-east-1&endpoint={endpoint}")
    with pytest.raises(StoreUnavailable, match="ResourceNotFoundException"):
        store.append([entry()])
    store.close()


def test_a_lease_is_one_read_and_one_conditional_transaction(
    store: DynamoDbStore, client: Counting
) -> None:
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 100), Budget("month", 900))))
    client.asked.clear()
    found = store.lease(
        "acme", lease_id="one", want_pico=10, least_pico=1, now_ms=NOON_MS, ttl_ms=1_000
    )
    assert isinstance(found, Lease)
    assert [operation for operation, _ in client.asked] == ["BatchGetItem", "TransactWriteItems"]
    written = client.asked[1][1]["TransactItems"]
    assert len(written) == 3
    assert all("ConditionExpression" in json.dumps(one) for one in written)


class Contended(Counting):
    """Cancels transactions as DynamoDB does where another one is under way, which moto never has;
    answers with a part of a batch; or does what it is asked and loses the answer."""

    cancelled = halved = lost = 0

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "TransactWriteItems" and self.cancelled:
            self.cancelled -= 1
            raise Refused("TransactionCanceledException")
        answer = super().call(operation, **parameters)
        if operation == "TransactWriteItems" and self.lost:
            self.lost -= 1
            raise StoreUnavailable("lost")
        if operation == "BatchGetItem" and self.halved:
            self.halved -= 1
            ((name, found),) = answer["Responses"].items()
            late = [{key: item[key] for key in ("pk", "sk")} for item in found[1:]]
            answer = {"Responses": {name: found[:1]}, "UnprocessedKeys": {name: {"Keys": late}}}
        return answer


@pytest.fixture
def contended(endpoint: str, request: pytest.FixtureRequest) -> Iterator[Contended]:
    dynamodb.new_table(endpoint, table_of(request))
    client = Contended(endpoint)
    yield client
    client.close()


def lease(store: DynamoDbStore, lease_id: str) -> object:
    return store.lease(
        "acme", lease_id=lease_id, want_pico=10, least_pico=1, now_ms=NOON_MS, ttl_ms=1_000
    )


def test_what_another_transaction_cancelled_is_tried_again(
    contended: Contended, request: pytest.FixtureRequest
) -> None:
    store = DynamoDbStore(Table(table_of(request), contended))
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 100),)))
    contended.cancelled, contended.halved = 3, 2
    assert isinstance(lease(store, "one"), Lease)
    contended.cancelled = 3
    assert store.settle_lease("one", 4)
    contended.cancelled = 3
    store.charge("acme", 5, NOON_MS)
    contended.halved = 1
    assert store.free("acme", NOON_MS) == {"2026-11-22": (91, 0, 100)}


def test_a_table_that_stays_contended_is_given_up(
    contended: Contended, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "CONTENTION_S_MAX", 0.05)
    store = DynamoDbStore(Table(table_of(request), contended))
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 100),)))
    contended.cancelled = 10**6
    with pytest.raises(StoreUnavailable, match="too busy"):
        lease(store, "one")


def test_a_lease_whose_answer_was_lost_is_taken_once(
    contended: Contended, request: pytest.FixtureRequest
) -> None:
    store = DynamoDbStore(Table(table_of(request), contended))
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 100),)))
    contended.lost = 1
    with pytest.raises(StoreUnavailable):
        lease(store, "one")
    assert isinstance(lease(store, "one"), Lease)
    assert store.free("acme", NOON_MS) == {"2026-11-22": (90, 10, 100)}


class Forgetful(Counting):
    """A client whose first answers to puts are lost, so that it tries them again."""

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "PutItem":
            super().call(operation, **parameters)
        return super().call(operation, **parameters)


def test_a_root_whose_first_answer_was_lost_is_known_to_be_kept(
    endpoint: str, request: pytest.FixtureRequest
) -> None:
    dynamodb.new_table(endpoint, table_of(request))
    client = Forgetful(endpoint)
    store = DynamoDbStore(Table(table_of(request), client))
    assert store.append_root(root(0))
    assert not store.append_root(root(0)), "a second sealer came too late"
    assert list(store.roots()) == [root(0)]
    client.close()
