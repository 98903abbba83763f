"""How statements look on a terminal, as JSON and as CSV."""

from __future__ import annotations

import json
import sys
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Literal

from farthing.billing.bases import load
from farthing.billing.meter import HOUSE
from farthing.money import ZERO, plain, total
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.table import Table

    from farthing.billing.bases import Bases
    from farthing.billing.invoices import Statement, UsageRow
    from farthing.billing.periods import Period

SHOWN = Decimal("0.000000001")


def show_usage(
    statement: Statement, by: Literal["day", "task", "model"], *, as_json: bool, as_csv: bool
) -> None:
    """One tenant's rows."""
    rows = {"day": statement.days, "task": statement.tasks, "model": statement.models}[by]
    if as_json:
        _print_json(statement.as_json())
    elif as_csv:
        _print_csv({statement.tenant: rows})
    else:
        _print(_usage_table(_title(statement), by, rows), _sold(statement))


def show_tenants(
    found: Mapping[str, Sequence[UsageRow]], period: Period, *, as_json: bool, as_csv: bool
) -> None:
    """All tenants, a row each, with what they cost on both bases."""
    costs = {tenant: total(row.cost for row in rows) for tenant, rows in found.items()}
    house = costs.pop(HOUSE, ZERO)
    loaded = load(costs, house)
    rows = [row for rows in found.values() for row in rows]
    if as_json:
        told: dict[str, Any] = {
            "since": period.since.isoformat(),
            "until": period.last.isoformat(),
            "currency": "USD",
            "total": plain(total(row.price for row in rows)),
            "tenants": [row.as_json() for row in rows],
        }
        for row in told["tenants"]:
            if row["name"] in loaded:
                row["loaded_cost"] = plain(loaded[row["name"]].loaded)
        _print_json(told)
    elif as_csv:
        _print_csv(found)
    else:
        title = f"{period.since} to {period.last}"
        said = f"The house's {_usd(house)} USD are loaded upon the tenants." if loaded else ""
        _print(_usage_table(title, "tenant", rows, loaded), said)


def show_invoice(statement: Statement, *, as_json: bool, as_csv: bool) -> None:
    """A month's lines, its credits and its total."""
    if as_json:
        _print_json(statement.as_json())
        return
    if as_csv:
        from farthing.ledger.statements.spreadsheet import lines_csv

        sys.stdout.write(lines_csv(statement))
        return
    from rich.markup import escape

    from farthing.cli.tables import names, numbers, table_of
    from farthing.ledger.statements.sections import sections_of

    amounts = numbers("USD each", "USD")
    table = table_of(
        "rule", *numbers("quantity"), *names("unit"), *amounts, title=_title(statement)
    )
    for section in sections_of(statement.lines):
        table.add_section()
        table.add_row(f"[bold]{escape(' '.join((section.title, section.plan)).rstrip())}[/]")
        for line in section.lines:
            quantity = f"{line.quantity:,.6f}".rstrip("0").rstrip(".")
            table.add_row(line.rule, quantity, line.unit, plain(line.rate), _usd(line.amount))
    _print(table, f"Total {plain(statement.total)} USD, exactly. Days are in --csv and --json.")


def _usage_table(
    title: str, by: str, rows: Iterable[UsageRow], loaded: Mapping[str, Bases] | None = None
) -> Table:
    """Columns that are 0 in every row are left out, but for calls and amounts."""
    from farthing.cli.tables import numbers, table_of

    shown = list(rows)
    counts = {
        "calls": [row.calls for row in shown],
        "repeated": [row.repeats for row in shown],
        "refused": [row.refusals for row in shown],
        "hits": [row.cached for row in shown],
        "tokens": [row.prompt_tokens for row in shown],
        "cached tokens": [row.cached_tokens for row in shown],
        "busy ms": [row.busy_ns // NS_PER_MS for row in shown],
        "idle ms": [row.idle_ns // NS_PER_MS for row in shown],
    }
    columns = {
        heading: [f"{count:,}" for count in column]
        for heading, column in counts.items()
        if heading == "calls" or any(column)
    }
    columns["cost USD"] = [_usd(row.cost) for row in shown]
    if loaded is not None:
        bases = [loaded.get(row.name) for row in shown]
        columns["loaded USD"] = [_usd(one.loaded) if one else "-" for one in bases]
    columns["price USD"] = [_usd(row.price) for row in shown]
    table = table_of(by, *numbers(*columns), title=title)
    for index, row in enumerate(shown):
        table.add_row(row.name or "-", *(column[index] for column in columns.values()))
    return table


def _title(statement: Statement) -> str:
    return f"{statement.tenant}, {statement.since} to {statement.until}"


def _sold(statement: Statement) -> str:
    is_credited = any(not line.day for line in statement.lines)
    after = ", the plan's credits taken off" if is_credited else ""
    return f"Sold for {plain(statement.total)} USD{after}."


def _usd(amount: Decimal) -> str:
    """To a billionth of a dollar, which is less than any call costs."""
    return f"{amount.quantize(SHOWN, rounding=ROUND_HALF_UP):,f}"


def _print(table: Table, sentence: str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table)
    if sentence:
        console.print(sentence)


def _print_json(told: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def _print_csv(rows: Mapping[str, Iterable[UsageRow]]) -> None:
    from farthing.ledger.statements.spreadsheet import usage_csv

    sys.stdout.write(usage_csv(rows))
