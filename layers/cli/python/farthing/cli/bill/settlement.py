"""`farthing bill settle` and `reconcile`: the provider's own record beside ours."""

from __future__ import annotations

import json
import os
import sys
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.bill.ledgers import ledger_at
from farthing.cli.bill.reports import month_lines, show_comparison, show_settlement
from farthing.cli.options import AsJson, Ledger
from farthing.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.billing.ledger import Store
    from farthing.billing.periods import Period
    from farthing.ledger.settlement.reading import Reader
    from farthing.ledger.settlement.settle import Settlement

DIFFERENT, NOTHING = 1, 2

Logs = Annotated[
    list[Path] | None,
    typer.Option(
        "--log",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Log to read first, repeatable: text, JSON lines or CloudWatch's JSON, also gzip.",
    ),
]
Exports = Annotated[
    list[Path],
    typer.Option(
        "--export",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="The provider's export, repeatable: AWS CUR 2.0 (Parquet, CSV), Alibaba's bill (CSV).",
    ),
]
Month = Annotated[
    str | None,
    typer.Option(metavar="YYYY-MM", show_default=False, help=r"UTC month. \[default: this one]"),
]


def settle(
    log: Logs = None,
    function: Annotated[
        str, typer.Option(help="Function whose logs they are, if they do not tell.")
    ] = "",
    month: Month = None,
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Read logs into the ledger, settle what expired, and compare a month with its records.

    What was measured is not changed: what the provider billed otherwise is booked to the house.
    """
    from farthing.ledger.settlement.reading import Reader
    from farthing.ledger.settlement.settle import settle as settle_month

    period, now_ms = _period(month), time.time_ns() // 1_000_000
    store = ledger_at(ledger, must_exist=not log)
    try:
        reader = Reader(store)
        _read(reader, log or [], function)
        budgets = _settle_budgets(store, now_ms)
        found = settle_month(
            store, since_ms=period.since_ms, until_ms=period.until_ms, now_ms=now_ms
        )
    finally:
        store.close()
    if as_json:
        _write_json(_settled_json(found, reader, budgets))
    else:
        show_settlement(found, reader)


def reconcile(
    export: Exports,
    month: Month = None,
    tag: Annotated[str, typer.Option(help="Tag that our functions bear: app=farthing, say.")] = "",
    tolerance_usd: Annotated[
        str, typer.Option("--tolerance-usd", help="Unexplained dollars that are let pass.")
    ] = "0.01",
    ledger: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Compare a month with the provider's export; 0 agrees, 1 differs, 2 nothing to compare."""
    from farthing.ledger.reconciliation.compare import compare
    from farthing.ledger.reconciliation.exports import read_exports
    from farthing.ledger.settlement.settle import settle as settle_month

    period, tolerance, wanted = _period(month), _dollars(tolerance_usd), _tag(tag)
    store = ledger_at(ledger)
    try:
        found = settle_month(
            store,
            since_ms=period.since_ms,
            until_ms=period.until_ms,
            now_ms=time.time_ns() // 1_000_000,
        )
    finally:
        store.close()
    comparison = compare(found, read_exports(export), f"{period.since:%Y-%m}", wanted)
    if as_json:
        _write_json(comparison.as_json())
    else:
        show_comparison(comparison)
    if not comparison.lines or not found.functions:
        empty = "The export" if not comparison.lines else "The ledger"
        sys.stderr.write(f"farthing: {empty} has nothing of {period.since:%Y-%m} to compare.\n")
        raise typer.Exit(NOTHING)
    if comparison.unexplained_usd > tolerance:
        raise typer.Exit(DIFFERENT)


def _read(reader: Reader, logs: Sequence[Path], function: str) -> None:
    from farthing.ledger.settlement.events import from_file

    for file in logs:
        try:
            reader.read(from_file(file, reader.faults, function))
        except OSError as error:
            raise LedgerError(f"{file} cannot be read: {error.strerror}.") from None
    for fault in reader.faults.named:
        sys.stderr.write(f"farthing: {fault.place} was left out: {fault.reason}.\n")


def _settle_budgets(store: Store, now_ms: int) -> dict[str, int]:
    from farthing.billing.plans import read_plans
    from farthing.billing.valuation import Valuer
    from farthing.ledger.budgets import charge_unleased, settle_expired_leases

    valuer = Valuer(read_plans(os.environ.get("FARTHING_PLANS", "")))
    return {
        "leases": settle_expired_leases(store, valuer, now_ms),
        "unleased_pico": charge_unleased(store, valuer, now_ms),
    }


def _settled_json(found: Settlement, reader: Reader, budgets: dict[str, int]) -> dict[str, Any]:
    from farthing.money import plain

    return {
        "read": {
            "entries": reader.entries,
            "records": reader.records,
            "faults": reader.faults.count + reader.unread.broken,
            "wordless": len(reader.unread.wordless),
        },
        "budgets": budgets,
        "functions": [one.as_json() for one in found.functions],
        "month": [line.as_json() for line in month_lines(found)],
        "cost": plain(found.cost),
        "bill": plain(found.bill),
        "drift_ppm": found.drift_ppm,
    }


def _period(month: str | None) -> Period:
    from farthing.billing.periods import read_month, this_month

    return read_month(month) if month else this_month()


def _tag(text: str) -> tuple[str, str] | None:
    key, _, value = text.partition("=")
    if text and not (key and value):
        raise LedgerError("--tag is no pair of a name and a value. Write it as app=farthing, say.")
    return (key, value) if text else None


def _dollars(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise LedgerError("--tolerance-usd is no amount. Write dollars, 0.01 say.")
    return found


def _write_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
