"""`farthing bill usage` and `farthing bill invoice`: what was used, and what is owed for it."""

from __future__ import annotations

import datetime as dt
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.bill.ledgers import ledger_at
from farthing.cli.options import AsJson, Ledger
from farthing.errors import LedgerError, SettingsError

if TYPE_CHECKING:
    from farthing.billing.invoices import Statement
    from farthing.billing.ledger import Store
    from farthing.billing.periods import Period
    from farthing.billing.valuation import Valuer


class Grouping(StrEnum):
    DAY = "day"
    TASK = "task"
    MODEL = "model"


Tenant = Annotated[str, typer.Option(help="Whose.", show_default=False)]
AnyTenant = Annotated[
    str | None, typer.Option("--tenant", help=r"Whose. \[default: everybody's, beside the house's]")
]
Month = Annotated[
    str | None,
    typer.Option(metavar="YYYY-MM", help=r"UTC month. \[default: this one]", show_default=False),
]
Day = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", show_default=False)]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]


def usage(
    tenant: AnyTenant = None,
    month: Month = None,
    since: Day = None,
    until: Day = None,
    by: Annotated[Grouping, typer.Option(help="What a row is.")] = Grouping.DAY,
    ledger: Ledger = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what a tenant used: calls, tokens, time, cost and price; or all tenants, one a row.

    All tenants are shown on two bases: cost is what their own attempts cost, loaded adds each one's
    part of the house's (refusals, idle instances).
    """
    from farthing.billing.invoices import usage_of
    from farthing.billing.rollups import entries_of
    from farthing.cli.bill import tables

    period = _period(month, since, until)
    store, valuer = ledger_at(ledger), _valuer()
    try:
        if tenant is None:
            found = usage_of(entries_of(store, period), valuer, period, "tenant")
            tables.show_tenants(found, period, as_json=as_json, as_csv=as_csv)
        else:
            statement = _statement(store, valuer, period, tenant)
            tables.show_usage(statement, by.value, as_json=as_json, as_csv=as_csv)
    finally:
        store.close()


def invoice(
    tenant: Tenant,
    month: Month = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page for a person there.", dir_okay=False, show_default=False),
    ] = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a tenant's invoice of a month: every line, its plan's credits, and the total."""
    from farthing.cli.bill import tables

    period = _period(month, None, None)
    store, valuer = ledger_at(ledger), _valuer()
    try:
        statement = _statement(store, valuer, period, tenant)
        if html is not None:
            _write_page(html, statement, valuer, store)
        else:
            tables.show_invoice(statement, as_json=as_json, as_csv=as_csv)
    finally:
        store.close()


def _period(month: str | None, since: str | None, until: str | None) -> Period:
    from farthing.billing.periods import read_days, read_month, this_month

    if month is not None and (since or until):
        raise SettingsError(
            "A month and days were asked for. Give --month, or --since and --until."
        )
    if month is not None:
        return read_month(month)
    if since or until:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        return read_days(since or until or "", until or max(since or "", today))
    return this_month()


def _valuer() -> Valuer:
    from farthing.billing.plans import read_plans
    from farthing.billing.valuation import Valuer

    return Valuer(read_plans(os.environ.get("FARTHING_PLANS", "")))


def _statement(store: Store, valuer: Valuer, period: Period, tenant: str) -> Statement:
    """The tenant's statement, empty if it used nothing. Raises `LedgerError` for a stranger."""
    from farthing.billing.invoices import statement_of
    from farthing.billing.rollups import entries_of

    statement = statement_of(tenant, entries_of(store, period, tenant), valuer, period)
    if not statement.days and store.tenant(tenant) is None:
        before = iter(store.entries(0, period.since_ms, tenant=tenant))
        if next(before, None) is None:
            raise LedgerError(
                f"The ledger has no tenant {tenant!r}, and no entry of it until {period.last}. "
                "`farthing bill usage` shows whom it has."
            )
    return statement


def _write_page(file: Path, statement: Statement, valuer: Valuer, store: Store) -> None:
    from farthing.ledger.statements.page import invoice_page

    month = statement.since[: len("2026-11")]
    roots = [root for root in store.roots(tenant=statement.tenant) if root.hour.startswith(month)]
    page = invoice_page(statement, valuer, roots)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LedgerError(
            f"The invoice cannot be written to {file} ({error.strerror}). Name another file."
        ) from None
    sys.stderr.write(f"The invoice is in {file}.\n")
