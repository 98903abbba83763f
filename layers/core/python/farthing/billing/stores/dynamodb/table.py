"""One table with keys `pk` and `sk`: what is asked of it, in DynamoDB's words."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from farthing.billing.stores.aws import Refused
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from farthing.billing.stores.aws import DynamoDbClient

    Item = dict[str, dict[str, str]]

CONTENTION_S_MAX: Final = 10.0
PAUSE_S: Final = 0.002
PAUSE_S_MAX: Final = 0.2


class Table:
    """Reads are consistent: what was written before is seen."""

    def __init__(self, name: str, client: DynamoDbClient) -> None:
        self._name, self._client = name, client

    def get(self, pk: str, sk: str) -> Item | None:
        found: Item | None = self._client.call(
            "GetItem", TableName=self._name, Key=key(pk, sk), ConsistentRead=True
        ).get("Item")
        return found

    def get_all(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Those of at most a hundred items that there are."""
        wanted: list[Item] = [key(pk, sk) for pk, sk in keys]
        found: dict[tuple[str, str], Item] = {}
        retry = Retry()
        while wanted:
            request = {self._name: {"Keys": wanted, "ConsistentRead": True}}
            answer = self._client.call("BatchGetItem", RequestItems=request)
            for item in answer["Responses"].get(self._name, ()):
                found[item["pk"]["S"], item["sk"]["S"]] = item
            wanted = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if wanted:
                retry.wait()
        return found

    def put(self, item: Item, *, new: bool = False) -> bool:
        """Keeps an item; False where it was to be new and is not."""
        condition = {"ConditionExpression": "attribute_not_exists(pk)"} if new else {}
        try:
            self._client.call("PutItem", TableName=self._name, Item=item, **condition)
        except Refused as refused:
            if refused.code == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def query(self, pk: str, since: str = "", until: str = "\U0010ffff") -> Iterator[Item]:
        """A partition's items with `since <= sk <= until`, in that order."""
        start: Item | None = None
        condition = "pk = :pk AND sk BETWEEN :since AND :until"
        values = {":pk": text(pk), ":since": text(since or " "), ":until": text(until)}
        while True:
            answer = self._client.call(
                "Query",
                TableName=self._name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **({"ExclusiveStartKey": start} if start else {}),
            )
            yield from answer["Items"]
            start = answer.get("LastEvaluatedKey")
            if not start:
                return

    def write(self, actions: Sequence[Callable[[str], dict[str, Any]]]) -> bool:
        """All of the actions or none; False where a condition or another writer forbade it."""
        items = [action(self._name) for action in actions]
        try:
            self._client.call("TransactWriteItems", TransactItems=items)
        except Refused as refused:
            if refused.code in {"TransactionCanceledException", "TransactionConflictException"}:
                return False
            raise
        return True

    def close(self) -> None:
        self._client.close()


class Retry:
    """Waits between attempts, longer each time and never in step with others.

    `wait` raises `StoreUnavailable` after some seconds: then it is not contention.
    """

    def __init__(self) -> None:
        self._until_s = time.monotonic() + CONTENTION_S_MAX
        self._pause_s = PAUSE_S

    def wait(self) -> None:
        if time.monotonic() > self._until_s:
            raise StoreUnavailable(
                "The ledger's table has been too busy for seconds. See its throttled requests."
            )
        time.sleep(self._pause_s * os.urandom(1)[0] / 255)
        self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)


def key(pk: str, sk: str) -> Item:
    return {"pk": text(pk), "sk": text(sk)}


def text(value: str) -> dict[str, str]:
    return {"S": value}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def put_new(item: Item) -> Callable[[str], dict[str, Any]]:
    condition = "attribute_not_exists(pk)"
    return lambda table: {
        "Put": {"TableName": table, "Item": item, "ConditionExpression": condition}
    }


def delete_old(pk: str, sk: str) -> Callable[[str], dict[str, Any]]:
    condition = "attribute_exists(pk)"
    return lambda table: {
        "Delete": {"TableName": table, "Key": key(pk, sk), "ConditionExpression": condition}
    }


def update(
    pk: str, sk: str, change: str, values: dict[str, int], condition: str = ""
) -> Callable[[str], dict[str, Any]]:
    """An update in DynamoDB's expressions, whose `:names` are the values'."""
    action = {
        "Key": key(pk, sk),
        "UpdateExpression": change,
        "ExpressionAttributeValues": {name: number(value) for name, value in values.items()},
        **({"ConditionExpression": condition} if condition else {}),
    }
    return lambda table: {"Update": {"TableName": table, **action}}
