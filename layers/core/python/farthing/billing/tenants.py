"""Tenants, their budgets, and the leases by which budgets are spent."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PICO_PER_USD = 1_000_000_000_000
# 64-bit integers hold nine million dollars in millionths of a millionth.
BUDGET_MAX_PICO = 1_000_000 * PICO_PER_USD
TENANT_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}\Z"

Period = Literal["day", "month"]


class Budget(msgspec.Struct, frozen=True):
    """At most so much in each UTC day or month; 0 refuses every call."""

    period: Period
    limit_pico: Annotated[int, msgspec.Meta(ge=0, le=BUDGET_MAX_PICO)]


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key that was made: enough to list and revoke it, not to use it."""

    id: str
    scope: str
    expires_s: int
    created_s: int


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who is billed, by which plan, within which budgets; `revoked` are ids of its keys."""

    name: Annotated[str, msgspec.Meta(pattern=TENANT_NAME)]
    plan: str = ""
    budgets: tuple[Budget, ...] = ()
    keys: tuple[KeyFacts, ...] = ()
    revoked: tuple[str, ...] = ()


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of every budget of a tenant, held by one process until it is spent or returned.

    `free_pico` is what the scarcest budget had left beside all leases, this one among them, when
    it was given; `limit_pico` its limit, `window` its day or month (`2026-11-22`, `2026-11`).
    """

    id: str
    tenant: str
    windows: tuple[str, ...]
    amount_pico: int
    expires_ms: int
    free_pico: int
    limit_pico: int
    window: str
    revoked: tuple[str, ...] = ()


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """Why no lease was given: the scarcest budget's free amount, and what other leases hold."""

    tenant: str
    window: str
    free_pico: int
    leased_pico: int
    limit_pico: int


class Unlimited(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant has no budget: nothing to hold, only its revoked keys to know."""

    tenant: str
    revoked: tuple[str, ...] = ()


class BudgetStore(Protocol):
    """Counts what is free of each budget. Every method may raise `StoreUnavailable`."""

    def put_tenant(self, tenant: Tenant, /) -> None:
        """Creates or changes a tenant. What its windows have spent stays: a changed limit changes
        what is free of them."""

    def tenant(self, name: str, /) -> Tenant | None: ...

    def tenants(self) -> Iterable[Tenant]: ...

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
        """A slice of `want_pico`, or less where less is free, never below `least_pico`.

        By one conditional write; the same `lease_id` again gives the same lease while it is open,
        so a lost answer can be asked for once more. An unknown tenant is `Unlimited`. Raises
        `LedgerError` unless `0 <= least_pico <= want_pico`.
        """

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        """Returns what was not spent to every window and closes the lease; once.

        False if it is closed already or unknown. Raises `LedgerError` for a `spent_pico` below 0
        or above the lease's amount.
        """

    def expired(self, now_ms: int, /) -> Sequence[Lease]:
        """Leases that nobody returned in time; whoever settles them knows from the ledger what
        was spent of each."""

    def charge(self, tenant: str, amount_pico: int, now_ms: int, /) -> None:
        """Takes from every open window what was answered without a lease, 0 or more; what is free
        may go below 0. Asked twice it takes twice."""

    def free(self, tenant: str, now_ms: int, /) -> dict[str, tuple[int, int, int]]:
        """Each open window's (free, leased, limit), in pico-USD."""


def windows_of(budgets: Iterable[Budget], now_ms: int) -> dict[str, Budget]:
    """The windows that are open at a moment, by name: `2026-11-22` of a day, `2026-11` of a month.

    Where a tenant has two budgets of one period, the smaller one counts.
    """
    now = dt.datetime.fromtimestamp(now_ms / 1000, tz=dt.UTC)
    names = {"day": f"{now:%Y-%m-%d}", "month": f"{now:%Y-%m}"}
    found: dict[str, Budget] = {}
    for budget in sorted(budgets, key=lambda one: -one.limit_pico):
        found[names[budget.period]] = budget
    return found


def resets_at(window: str) -> dt.datetime:
    """When the window after this one begins, in UTC."""
    if len(window) == len("2026-11-22"):
        return dt.datetime.fromisoformat(window).replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
    first = dt.datetime.fromisoformat(f"{window}-01").replace(tzinfo=dt.UTC)
    return (first + dt.timedelta(days=32)).replace(day=1)
