"""Budgets in SQL: a tenant's row is the lock under which its counters and leases change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, select

from farthing.billing.stores.counters import (
    Counter,
    check_charge,
    check_spent,
    granted,
    open_counters,
)
from farthing.billing.tenants import Lease, Shortage, Tenant, Unlimited, windows_of
from farthing.ledger.sql.schema import counters, leases, tenants

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from farthing.ledger.sql.database import Database


class SqlBudgets:
    """Every change is one transaction, and holds at most one tenant's lock: none deadlocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_tenant(self, tenant: Tenant, /) -> None:
        body = msgspec.json.encode(tenant).decode()
        statement = self._database.insert(tenants).values(name=tenant.name, body=body)
        statement = statement.on_conflict_do_update(
            index_elements=[tenants.c.name], set_={"body": body}
        )
        with self._database.writing() as connection:
            connection.execute(statement)

    def tenant(self, name: str, /) -> Tenant | None:
        with self._database.reading() as connection:
            return _tenant(connection, name)

    def tenants(self) -> list[Tenant]:
        with self._database.reading() as connection:
            bodies = connection.scalars(select(tenants.c.body).order_by(tenants.c.name)).all()
        return [msgspec.json.decode(body, type=Tenant) for body in bodies]

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
        with self._database.writing() as connection:
            known = _tenant(connection, tenant, lock=True)
            given = _lease(connection, lease_id)
            if given is not None:
                return given
            if known is None:
                return Unlimited(tenant=tenant)
            found = _open_counters(connection, known, now_ms)
            lease = granted(
                known,
                found,
                lease_id=lease_id,
                want_pico=want_pico,
                least_pico=least_pico,
                expires_ms=now_ms + ttl_ms,
            )
            if isinstance(lease, Lease):
                body = msgspec.json.encode(lease).decode()
                connection.execute(
                    leases.insert(),
                    {"id": lease_id, "expires_ms": lease.expires_ms, "body": body},
                )
                changed = {name: one.lent(lease.amount_pico) for name, one in found.items()}
                self._put(connection, tenant, changed)
            return lease

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        with self._database.writing() as connection:
            lease = _lease(connection, lease_id)
            if lease is None:
                return False
            check_spent(lease, spent_pico)
            _tenant(connection, lease.tenant, lock=True)
            gone = connection.execute(delete(leases).where(leases.c.id == lease_id))
            if gone.rowcount != 1:
                return False
            kept = _counters(connection, lease.tenant, lease.windows)
            changed = {
                name: kept[name].settled(lease.amount_pico, spent_pico) for name in lease.windows
            }
            self._put(connection, lease.tenant, changed)
            return True

    def expired(self, now_ms: int, /) -> Sequence[Lease]:
        query = select(leases.c.body).where(leases.c.expires_ms <= now_ms)
        with self._database.reading() as connection:
            bodies = connection.scalars(query.order_by(leases.c.expires_ms, leases.c.id)).all()
        return [msgspec.json.decode(body, type=Lease) for body in bodies]

    def charge(self, tenant: str, amount_pico: int, now_ms: int, /) -> None:
        check_charge(amount_pico)
        with self._database.writing() as connection:
            known = _tenant(connection, tenant, lock=True)
            if known is not None:
                found = _open_counters(connection, known, now_ms)
                changed = {name: one.spent(amount_pico) for name, one in found.items()}
                self._put(connection, tenant, changed)

    def free(self, tenant: str, now_ms: int, /) -> dict[str, tuple[int, int, int]]:
        with self._database.reading() as connection:
            known = _tenant(connection, tenant)
            found = _open_counters(connection, known, now_ms) if known else {}
        return {
            name: (one.free_pico, one.leased_pico, one.limit_pico) for name, one in found.items()
        }

    def _put(self, connection: Connection, tenant: str, changed: Mapping[str, Counter]) -> None:
        if not changed:
            return
        statement = self._database.insert(counters)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=[counters.c.tenant, counters.c.window],
            set_={
                "limit_pico": new.limit_pico,
                "free_pico": new.free_pico,
                "leased_pico": new.leased_pico,
            },
        )
        rows = [
            {"tenant": tenant, "window": name, **msgspec.structs.asdict(counter)}
            for name, counter in changed.items()
        ]
        connection.execute(statement, rows)


def _tenant(connection: Connection, name: str, *, lock: bool = False) -> Tenant | None:
    query = select(tenants.c.body).where(tenants.c.name == name)
    body = connection.scalar(query.with_for_update() if lock else query)
    return None if body is None else msgspec.json.decode(body, type=Tenant)


def _lease(connection: Connection, lease_id: str) -> Lease | None:
    body = connection.scalar(select(leases.c.body).where(leases.c.id == lease_id))
    return None if body is None else msgspec.json.decode(body, type=Lease)


def _open_counters(connection: Connection, tenant: Tenant, now_ms: int) -> dict[str, Counter]:
    windows = windows_of(tenant.budgets, now_ms)
    return open_counters(tenant, _counters(connection, tenant.name, windows), now_ms)


def _counters(connection: Connection, tenant: str, windows: Iterable[str]) -> dict[str, Counter]:
    table = counters.c
    query = select(table.window, table.limit_pico, table.free_pico, table.leased_pico)
    rows = connection.execute(query.where(table.tenant == tenant, table.window.in_(windows)))
    return {window: Counter(limit, free, leased) for window, limit, free, leased in rows}
