"""`farthing keys list`: tenants, their keys, and what is left of their budgets."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import AsJson, Ledger, open_ledger
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.billing.ledger import Store
    from farthing.billing.tenants import Tenant


def show(
    tenant: Annotated[
        str | None, typer.Option(show_default=False, help=r"Only this one. \[default: all]")
    ] = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Tenants with their keys, and what is left of their budgets."""
    store = open_ledger(ledger)
    tenants = [existing(store, tenant)] if tenant else list(store.tenants())
    now_ms = time.time_ns() // 1_000_000
    rows = [_facts(each, store.free(each.name, now_ms)) for each in tenants]
    store.close()
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    _show_tenants(rows)


def existing(store: Store, name: str) -> Tenant:
    """The tenant of that name. Raises `SettingsError` where the ledger knows none."""
    known = store.tenant(name)
    if known is None:
        raise SettingsError(
            f"The ledger knows no tenant {name!r}. `farthing keys list` shows those it has."
        )
    return known


def _facts(tenant: Tenant, free: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    return {
        "tenant": tenant.name,
        "plan": tenant.plan or "at cost",
        "budgets": {
            window: {"left_usd": usd(left), "leased_usd": usd(leased), "limit_usd": usd(limit)}
            for window, (left, leased, limit) in sorted(free.items())
        },
        "keys": [
            {
                "id": facts.id,
                "scope": facts.scope,
                "created": day(facts.created_s),
                "expires": day(facts.expires_s),
                "revoked": facts.id in tenant.revoked,
            }
            for facts in tenant.keys
        ],
    }


def _show_tenants(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from farthing.cli.tables import table_of

    table = table_of("tenant", "plan", "left of its budgets", "keys")
    for row in rows:
        budgets = "\n".join(
            f"{window}: {facts['left_usd']} of {facts['limit_usd']} USD"
            for window, facts in row["budgets"].items()
        )
        keys = "\n".join(
            f"{facts['id']}  {facts['scope']}  "
            + ("revoked" if facts["revoked"] else f"until {facts['expires']}")
            for facts in row["keys"]
        )
        table.add_row(str(row["tenant"]), str(row["plan"]), budgets or "none", keys or "none")
    Console(highlight=False).print(table)


def usd(pico: int) -> str:
    """The amount in US dollars, as a plain decimal string."""
    from farthing.billing.tenants import PICO_PER_USD
    from farthing.money import plain, ratio

    return plain(ratio(pico, PICO_PER_USD))


def day(seconds: int) -> str:
    """The UTC day of a moment."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).date().isoformat()
