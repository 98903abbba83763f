"""Budgets in DynamoDB: one consistent read and one conditional transaction a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.stores.counters import (
    Counter,
    check_charge,
    check_spent,
    granted,
    open_counters,
)
from farthing.billing.stores.dynamodb.table import (
    Retry,
    delete_old,
    key,
    number,
    put_new,
    text,
    update,
)
from farthing.billing.tenants import Budget, Lease, Shortage, Tenant, Unlimited, windows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.billing.stores.dynamodb.table import Item, Table

# Every window that a moment can have, whatever a tenant's budgets are.
PERIODS = (Budget("day", 0), Budget("month", 0))


class DynamoDbBudgets:
    """What was read may have changed when it is written: then the write's conditions fail, and it
    is read again."""

    _table: Table

    def put_tenant(self, tenant: Tenant, /) -> None:
        body = text(msgspec.json.encode(tenant).decode())
        self._table.put({**key("tenants", tenant.name), "body": body})

    def tenant(self, name: str, /) -> Tenant | None:
        item = self._table.get("tenants", name)
        return _body(item, Tenant) if item else None

    def tenants(self) -> list[Tenant]:
        return [_body(item, Tenant) for item in self._table.query("tenants")]

    def lease(
        self,
        tenant: str,
        /,
        *,
        lease_id: str,
        want_pico: int,
        least_pico: int,
        now_ms: int,
        ttl_ms: int,
    ) -> Lease | Shortage | Unlimited:
        retry = Retry()
        while True:
            known, kept, given = self._state(tenant, now_ms, lease_id)
            if given is not None:
                return given
            if known is None:
                return Unlimited(tenant=tenant)
            counters = open_counters(known, kept, now_ms)
            lease = granted(
                known,
                counters,
                lease_id=lease_id,
                want_pico=want_pico,
                least_pico=least_pico,
                expires_ms=now_ms + ttl_ms,
            )
            if not isinstance(lease, Lease):
                return lease
            item = {
                **key("leases", lease_id),
                "expires_ms": number(lease.expires_ms),
                "body": text(msgspec.json.encode(lease).decode()),
            }
            amount_pico = lease.amount_pico
            changes = [
                _taken(tenant, window, kept.get(window), counter.limit_pico, amount_pico, lent=True)
                for window, counter in counters.items()
            ]
            if self._table.write([put_new(item), *changes]):
                return lease
            retry.wait()

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        retry = Retry()
        while True:
            item = self._table.get("leases", lease_id)
            if item is None:
                return False
            lease: Lease = _body(item, Lease)
            check_spent(lease, spent_pico)
            returned = [
                update(
                    f"counters#{lease.tenant}",
                    window,
                    "ADD free_pico :unspent, leased_pico :closed",
                    {":unspent": lease.amount_pico - spent_pico, ":closed": -lease.amount_pico},
                )
                for window in lease.windows
            ]
            if self._table.write([delete_old("leases", lease_id), *returned]):
                return True
            retry.wait()

    def expired(self, now_ms: int, /) -> Sequence[Lease]:
        items = self._table.query("leases")
        found = [_body(item, Lease) for item in items if int(item["expires_ms"]["N"]) <= now_ms]
        return sorted(found, key=lambda lease: (lease.expires_ms, lease.id))

    def charge(self, tenant: str, amount_pico: int, now_ms: int, /) -> None:
        check_charge(amount_pico)
        retry = Retry()
        while True:
            known, kept, _ = self._state(tenant, now_ms)
            counters = open_counters(known, kept, now_ms) if known else {}
            changes = [
                _taken(
                    tenant, window, kept.get(window), counter.limit_pico, amount_pico, lent=False
                )
                for window, counter in counters.items()
            ]
            if not changes or self._table.write(changes):
                return
            retry.wait()

    def free(self, tenant: str, now_ms: int, /) -> dict[str, tuple[int, int, int]]:
        known, kept, _ = self._state(tenant, now_ms)
        found = open_counters(known, kept, now_ms) if known else {}
        return {
            window: (counter.free_pico, counter.leased_pico, counter.limit_pico)
            for window, counter in found.items()
        }

    def _state(
        self, tenant: str, now_ms: int, lease_id: str = ""
    ) -> tuple[Tenant | None, dict[str, Counter], Lease | None]:
        """A tenant, its open windows' counters and a lease, in one round trip."""
        counters = f"counters#{tenant}"
        places = [("tenants", tenant)]
        places += [(counters, window) for window in windows_of(PERIODS, now_ms)]
        places += [("leases", lease_id)] if lease_id else []
        found = self._table.get_all(places)
        kept = {sk: _counter(item) for (pk, sk), item in found.items() if pk == counters}
        known, given = found.get(("tenants", tenant)), found.get(("leases", lease_id))
        return (
            _body(known, Tenant) if known else None,
            kept,
            _body(given, Lease) if given else None,
        )


def _taken(
    tenant: str,
    window: str,
    kept: Counter | None,
    limit_pico: int,
    amount_pico: int,
    *,
    lent: bool,
) -> Callable[[str], dict[str, Any]]:
    """A window less an amount: lent where that much is free, else spent whatever is free.

    A new window and one of an unchanged limit are one expression, so that first comers do not
    collide; a changed limit moves what is free once.
    """
    values = {":limit": limit_pico, ":amount": amount_pico, ":zero": 0}
    leased = f"if_not_exists(leased_pico, :zero) + {':amount' if lent else ':zero'}"
    if kept is None or kept.limit_pico == limit_pico:
        free = "if_not_exists(free_pico, :limit) - :amount"
        enough = " AND free_pico >= :amount" if lent else ""
        condition = f"attribute_not_exists(pk) OR (limit_pico = :limit{enough})"
    else:
        free = "free_pico - :amount + :moved"
        values |= {":moved": limit_pico - kept.limit_pico, ":seen": kept.limit_pico}
        condition = "limit_pico = :seen"
        if lent:
            values[":least"] = amount_pico - values[":moved"]
            condition += " AND free_pico >= :least"
    change = f"SET limit_pico = :limit, free_pico = {free}, leased_pico = {leased}"
    return update(f"counters#{tenant}", window, change, values, condition)


def _counter(item: Item) -> Counter:
    return Counter(*(int(item[f"{name}_pico"]["N"]) for name in ("limit", "free", "leased")))


def _body(item: Item, of: type[Any]) -> Any:
    return msgspec.json.decode(item["body"]["S"], type=of)
