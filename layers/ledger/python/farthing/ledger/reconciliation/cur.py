"""AWS's Cost and Usage Report, version 2.0: Parquet or CSV; of the older one the CSV.

Columns: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html (2026-11). Tags
are one map there, and columns of their own in the older report.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from farthing.ledger.reconciliation.lines import (
    BillLine,
    ExportUnusable,
    number,
    read_columns,
    read_rows,
    require_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PRODUCT = "AWSLambda"
PARQUET_MAGIC = b"PAR1"
NEEDED = (
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_usage_amount",
    "line_item_unblended_cost",
    "line_item_line_item_type",
    "line_item_resource_id",
    "line_item_usage_start_date",
)
OPTIONAL = (
    "identity_line_item_id",
    "identity_time_interval",
    "line_item_usage_end_date",
    "line_item_operation",
    "resource_tags",
)
TAG_COLUMN = "resource_tags_"
# USE1-Lambda-GB-Second, EUW1-…, Global-… where the free tier is counted; us-east-1 has none.
REGION = re.compile(r"^(?:[A-Z]{2,4}\d{0,2}|Global)-(?=[A-Z])")
FUNCTION = re.compile(r"^arn:[^:]+:lambda:[^:]*:\d*:function:(?P<name>[^:]+)")
USAGE_KINDS = {"Usage", "SavingsPlanCoveredUsage", "DiscountedUsage"}


def read_export(path: Path) -> Iterator[BillLine]:
    """The lines of an export, of all products. Raises `ExportUnusable`."""
    rows = _parquet_rows(path) if is_parquet(path) else _csv_rows(path)
    for place, row in enumerate(rows, start=1):
        yield _line(row, f"{path.name}, row {place}")


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does. Raises `ExportUnusable` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    except OSError as error:
        raise ExportUnusable(f"{path.name} cannot be read: {error.strerror}.") from None


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows under CUR 2.0's names, whichever version wrote them."""
    named = {name: _column(name) for name in read_columns(path)}
    require_columns(path, named.values(), NEEDED)
    for row in read_rows(path):
        yield {column: row[name] for name, column in named.items()}


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            require_columns(path, names, NEEDED)
            wanted = [
                name
                for name in names
                if name in NEEDED or name in OPTIONAL or name.startswith(TAG_COLUMN)
            ]
            for batch in file.iter_batches(columns=wanted):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError):
        raise ExportUnusable(
            f"{path.name} is cut off or no Parquet file. Download the export again."
        ) from None


def _column(name: str) -> str:
    """CUR 2.0's name of an older report's column: lineItem/UsageType is line_item_usage_type."""
    if "/" not in name:
        return name
    group, _, member = name.partition("/")
    if group == "resourceTags":
        return TAG_COLUMN + member
    return "_".join(
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower() for part in (group, member)
    )


def _line(row: Mapping[str, Any], place: str) -> BillLine:
    kind = str(row["line_item_line_item_type"] or "")
    usage_type = str(row["line_item_usage_type"] or "")
    found = FUNCTION.match(str(row["line_item_resource_id"] or ""))
    began = _moment(row["line_item_usage_start_date"])
    identity = f"{row.get('identity_line_item_id') or ''}/{row.get('identity_time_interval') or ''}"
    return BillLine(
        id="" if identity == "/" else f"{identity}/{kind}",
        product=str(row["line_item_product_code"] or ""),
        function=found["name"] if found else "",
        item=REGION.sub("", usage_type),
        kind="usage" if kind in USAGE_KINDS else kind or "unknown",
        quantity=number(row["line_item_usage_amount"], f"{place}: line_item_usage_amount"),
        usd=number(row["line_item_unblended_cost"], f"{place}: line_item_unblended_cost"),
        began=began,
        ended=_moment(row.get("line_item_usage_end_date")),
        tags=_tags(row),
    )


def _moment(value: object) -> str:
    """The moment to the hour: 2026-11-22T05."""
    return str(value or "").replace(" ", "T")[: len("2026-11-22T05")]


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    """Tags by the names that their owner gave them: user_app, user:app and app are one."""
    tags = {name.removeprefix(TAG_COLUMN): row[name] for name in row if name.startswith(TAG_COLUMN)}
    held = row.get("resource_tags")
    if isinstance(held, str) and held:
        try:
            decoded = json.loads(held, parse_float=Decimal)
        except ValueError:
            decoded = {}
        held = decoded if isinstance(decoded, dict) else {}
    tags |= dict(held or {})
    return {
        re.sub(r"^user[:_]", "", str(name)): str(value) for name, value in tags.items() if value
    }
