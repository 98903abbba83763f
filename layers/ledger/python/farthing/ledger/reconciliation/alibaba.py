"""Alibaba Cloud's bill details, as CSV with Chinese or English columns.

Names by https://help.aliyun.com/document_detail/473030.html (2026-11); nothing of this was tried
against a real export. Function Compute bills compute units for the account, so functions are not
told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.ledger.reconciliation.lines import (
    BillLine,
    ExportUnusable,
    number,
    read_columns,
    read_rows,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

PRODUCT = "fc"
ITEM = "fc.cu"
NAMES = {
    "cycle": ("账期", "BillingCycle"),
    "product": ("产品Code", "产品代码", "ProductCode"),
    "item": ("计费项", "计费项Code", "BillingItem", "BillingItemCode"),
    "usage": ("用量", "Usage"),
    "amount": ("应付金额", "PretaxAmount"),
    "currency": ("币种", "Currency"),
}
DAY = ("账单日期", "BillingDate")
TAG = ("实例标签", "标签", "Tag")


def read_export(path: Path) -> Iterator[BillLine]:
    """The lines of an export. Raises `ExportUnusable`, for another currency than USD too."""
    found = _columns(path, read_columns(path))
    for place, row in enumerate(read_rows(path), start=1):
        currency = (row[found["currency"]] or "").strip().upper()
        if currency != "USD":
            raise ExportUnusable(
                f"{path.name} bills in {currency or 'no currency'}; the ledger counts US dollars. "
                "Export the bill of an international account."
            )
        day = next((row[name] for name in DAY if row.get(name)), "") or row[found["cycle"]]
        where = f"{path.name}, row {place}"
        yield BillLine(
            id="",
            product=(row[found["product"]] or "").lower(),
            function="",
            item=ITEM,
            kind="usage",
            quantity=number(row[found["usage"]], f"{where}: {found['usage']}"),
            usd=number(row[found["amount"]], f"{where}: {found['amount']}"),
            began=_dashed(day),
            ended="",
            tags=_tags(next((row[name] for name in TAG if row.get(name)), "")),
        )


def is_export(columns: Collection[str]) -> bool:
    """Whether columns are those of this export rather than of AWS's."""
    return any(name in columns for names in (NAMES["cycle"], NAMES["product"]) for name in names)


def _columns(path: Path, columns: Collection[str]) -> dict[str, str]:
    found = {
        key: next((name for name in names if name in columns), "") for key, names in NAMES.items()
    }
    missing = [" or ".join(NAMES[key]) for key, name in found.items() if not name]
    if missing:
        raise ExportUnusable(
            f"{path.name} has no column {', '.join(missing)}. Export it with these columns."
        )
    return found


def _dashed(day: str) -> str:
    """2026-11 and 2026-11-22 of 202611 and 20261122."""
    return day if "-" in day else "-".join(part for part in (day[:4], day[4:6], day[6:8]) if part)


def _tags(text: str) -> dict[str, str]:
    """Tags of `key:app value:farthing; key:…`."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        key, _, value = part.strip().removeprefix("key:").partition(" value:")
        if value:
            tags[key.strip()] = value.strip()
    return tags
