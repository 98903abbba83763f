"""A statement as CSV: its lines, exactly, for a spreadsheet or another program."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farthing.billing.invoices import Statement, UsageRow

LINE_COLUMNS = (
    "tenant", "day", "task", "model", "plan", "rule", "quantity", "unit", "rate", "amount",
)  # fmt: skip


def lines_csv(statement: Statement) -> str:
    """A row a line; the amounts add up to the statement's total, in US dollars."""
    rows = ({"tenant": statement.tenant, **line.as_json()} for line in statement.lines)
    return _csv(LINE_COLUMNS, rows)


def usage_csv(found: Mapping[str, Iterable[UsageRow]]) -> str:
    """Each tenant's rows, of a day, task or model; cost and price in US dollars."""
    told = [{"tenant": tenant, **row.as_json()} for tenant, rows in found.items() for row in rows]
    return _csv(tuple(told[0]) if told else ("tenant",), told)


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
