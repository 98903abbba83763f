"""Reconciliation: a true export agrees to the cent, and every planted difference is found."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from farthing.billing.tariff import Tariff
from farthing.ledger.reconciliation.compare import FREE, Comparison, compare
from farthing.ledger.reconciliation.exports import read_exports
from farthing.ledger.reconciliation.lines import ExportUnusable
from farthing.ledger.settlement.settle import settle
from tests.ledger.attempts import HOUR_MS, START_MS, a_ledger, a_record, a_usage, an_entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Rows = list[dict[str, Any]]

MONTH = "2026-11"
HOURS = 6
CALLS = 50
GB_SECOND = Decimal("0.0000166667")
REQUEST = Decimal("0.0000002")
FUNCTIONS = ("farthing-classify", "farthing-embed")
TAGS = {"user_app": "farthing"}


def settled(tariff: Tariff | None = None) -> Any:
    """Six hours of two functions, fifty calls an hour of 200 s on 1 GB; all recorded."""
    entries = [
        an_entry(
            1 + call + CALLS * hour,
            writer=function[-8:],
            function=function,
            request_id=f"{hour}-{call}",
            at_ms=START_MS + hour * HOUR_MS + call * 1000,
            usage=a_usage(busy_ns=200 * 10**9),
            **({"tariff": tariff} if tariff else {}),
        )
        for function in FUNCTIONS
        for hour in range(HOURS)
        for call in range(CALLS)
    ]
    ledger = a_ledger(*entries)
    ledger.append_records(
        a_record(one.request_id, at_ms=one.at_ms, billed_ms=200_000, function=one.function,
                 source="/".join(map(str, one.key)))
        for one in entries
    )  # fmt: skip
    end_ms = START_MS + HOURS * HOUR_MS
    return settle(ledger, since_ms=START_MS, until_ms=end_ms, now_ms=end_ms + HOUR_MS)


def a_row(function: str, hour: int, item: str, quantity: Decimal, rate: Decimal) -> dict[str, Any]:
    began = f"2026-11-22T{5 + hour:02}:00:00.000Z"
    ended = f"2026-11-22T{6 + hour:02}:00:00.000Z"
    return {
        "identity_line_item_id": f"{function}{hour}{item}",
        "identity_time_interval": f"{began}/{ended}",
        "line_item_product_code": "AWSLambda",
        "line_item_usage_type": item,
        "line_item_usage_amount": quantity,
        "line_item_unblended_cost": quantity * rate,
        "line_item_unblended_rate": rate,
        "line_item_line_item_type": "Usage",
        "line_item_resource_id": f"arn:aws:lambda:us-east-1:123456789012:function:{function}",
        "line_item_usage_start_date": began,
        "line_item_usage_end_date": ended,
        "resource_tags": TAGS,
    }


def export() -> Rows:
    """What AWS bills for just that, hour by hour, from its price page."""
    return [
        row
        for function in FUNCTIONS
        for hour in range(HOURS)
        for row in (
            a_row(function, hour, "Request", Decimal(CALLS), REQUEST),
            a_row(function, hour, "Lambda-GB-Second", Decimal(CALLS * 200), GB_SECOND),
        )
    ]


def write_csv(file: Path, rows: Rows) -> Path:
    with gzip.open(file, "wt", newline="") if file.suffix == ".gz" else file.open("w") as out:
        writer = csv.DictWriter(out, rows[0] if rows else export()[0])
        writer.writeheader()
        writer.writerows(row | {"resource_tags": json.dumps(row["resource_tags"])} for row in rows)
    return file


def write_parquet(file: Path, rows: Rows) -> Path:
    tags = pa.map_(pa.string(), pa.string())

    def column(name: str) -> Any:
        values = [row[name] for row in rows]
        if isinstance(values[0], Decimal):
            return pa.array([float(value) for value in values], pa.float64())
        if name == "resource_tags":
            return pa.array([list(value.items()) for value in values], tags)
        return pa.array(values, pa.string())

    columns = {name: column(name) for name in rows[0]}
    parquet.write_table(pa.table(columns), file)
    return file


def write_older(file: Path, rows: Rows) -> Path:
    """The older report's names, with tags as columns of their own."""
    words = {"line_item": "lineItem", "identity": "identity"}

    def older(name: str) -> str:
        group = next(group for group in words if name.startswith(group))
        member = name.removeprefix(group + "_").title().replace("_", "")
        return f"{words[group]}/{member}"

    flat = [
        {older(name): row[name] for name in row if name != "resource_tags"}
        | {"resourceTags/user:app": row["resource_tags"].get("user_app", "")}
        for row in rows
    ]
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, flat[0])
        writer.writeheader()
        writer.writerows(flat)
    return file


def compared(tmp_path: Path, rows: Rows, **options: Any) -> Comparison:
    lines = read_exports([write_csv(tmp_path / "cur.csv.gz", rows)])
    return compare(settled(), lines, MONTH, **options)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.csv", write_csv), ("a.csv.gz", write_csv), ("a.parquet", write_parquet),
     ("older.csv", write_older)],
)  # fmt: skip
def test_a_true_export_agrees_in_every_form(
    name: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    file = write(tmp_path / name, export())
    found = compare(settled(), read_exports([file]), MONTH, ("app", "farthing"))
    assert found.lines == 24
    assert found.unexplained_usd < Decimal("1e-9")
    assert [(row.function, row.item, row.notes) for row in found.rows] == [
        (function, item, ()) for function in FUNCTIONS for item in ("Lambda-GB-Second", "Request")
    ]
    assert not found.foreign


def row_of(found: Comparison, item: str = "Lambda-GB-Second") -> Any:
    return next(row for row in found.rows if (row.function, row.item) == (FUNCTIONS[0], item))


def test_a_missing_hour_is_found_and_named(tmp_path: Path) -> None:
    rows = [
        row
        for row in export()
        if row["identity_line_item_id"] != f"{FUNCTIONS[0]}2Lambda-GB-Second"
    ]
    row = row_of(compared(tmp_path, rows))
    assert row.unexplained_usd == -CALLS * 200 * GB_SECOND
    assert row.notes == ("they have no line for 2026-11-22T07",)


def test_a_doubled_line_is_found(tmp_path: Path) -> None:
    rows = export()
    row = row_of(compared(tmp_path, [*rows, rows[1]]))
    assert row.unexplained_usd == CALLS * 200 * GB_SECOND
    assert row.notes == ("1 of their lines stand there twice",)


def test_another_rate_is_found_and_named(tmp_path: Path) -> None:
    rows = export()
    rows[1]["line_item_unblended_cost"] *= 2
    found = compared(tmp_path, rows)
    assert row_of(found).unexplained_usd == CALLS * 200 * GB_SECOND
    assert row_of(found).notes == ("billed at 0.0000333334 and not at 0.0000166667",)
    assert found.unexplained_usd == row_of(found).unexplained_usd


def test_a_foreign_function_is_not_ours_if_it_lacks_the_tag_and_a_difference_otherwise(
    tmp_path: Path,
) -> None:
    stranger = a_row("somebodys", 0, "Request", Decimal(10**6), REQUEST)
    untagged = stranger | {"resource_tags": {}}
    found = compared(tmp_path, [*export(), untagged], tag=("app", "farthing"))
    assert found.foreign == {"somebodys": Decimal("0.2")}
    assert not found.unexplained_usd
    for rows, options in (([untagged], {}), ([stranger], {"tag": ("app", "farthing")})):
        found = compared(tmp_path, [*export(), *rows], **options)
        assert found.unexplained_usd == Decimal("0.2")
        assert found.rows[-1].notes == ("the ledger has nothing of this",)


def test_our_own_function_without_the_tag_is_compared_and_noted(tmp_path: Path) -> None:
    rows = export()
    rows[1]["resource_tags"] = {}
    found = compared(tmp_path, rows, tag=("app", "farthing"))
    assert row_of(found).notes == ("not tagged app=farthing",)
    assert not found.unexplained_usd


def test_what_is_free_is_explained_as_far_as_the_free_tier_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = export()
    for row in rows:
        row["line_item_unblended_cost"] = Decimal(0)
    found = compared(tmp_path, rows)
    assert found.unexplained_usd == 0
    assert row_of(found).explained == {"free tier": -HOURS * CALLS * 200 * GB_SECOND}
    monkeypatch.setitem(FREE, "Lambda-GB-Second", Decimal(50_000))
    assert compared(tmp_path, rows).unexplained_usd == 70_000 * GB_SECOND


def test_volume_tiers_credits_and_tax_are_explained(tmp_path: Path) -> None:
    rows = export()
    rows[1]["line_item_unblended_cost"] = rows[1]["line_item_usage_amount"] * Decimal("0.000015")
    credit = rows[0] | {
        "line_item_line_item_type": "Credit",
        "line_item_unblended_cost": Decimal(-3),
    }
    found = compared(tmp_path, [*rows, credit, credit | {"line_item_line_item_type": "Tax"}])
    assert row_of(found).explained == {"volume tier": CALLS * 200 * Decimal("-0.0000016667")}
    assert found.adjustments == {"Credit": Decimal(-3), "Tax": Decimal(-3)}
    assert found.unexplained_usd == 0


def test_regions_and_arm_have_items_of_their_own(tmp_path: Path) -> None:
    rows = export()
    for row in rows:
        row["line_item_usage_type"] = f"EUW1-{row['line_item_usage_type']}-ARM"
        if "GB" in row["line_item_usage_type"]:
            row["line_item_unblended_cost"] = row["line_item_usage_amount"] * Decimal(
                "0.0000133334"
            )
    lines = read_exports([write_csv(tmp_path / "arm.csv", rows)])
    found = compare(settled(Tariff("lambda", "eu-west-1", "arm64")), lines, MONTH)
    assert {row.item for row in found.rows} == {"Request-ARM", "Lambda-GB-Second-ARM"}
    assert found.unexplained_usd == 0


def test_other_months_and_products_are_left_out(tmp_path: Path) -> None:
    rows = export()
    other = rows[0] | {"line_item_usage_start_date": "2026-10-31T23:00:00Z"}
    storage = rows[0] | {"line_item_product_code": "AmazonS3"}
    assert compared(tmp_path, [*rows, other, storage]).lines == len(rows)


def test_an_export_without_rows_has_nothing_to_compare(tmp_path: Path) -> None:
    assert compared(tmp_path, []).lines == 0


@pytest.mark.parametrize("column", ["line_item_usage_amount", "line_item_resource_id"])
@pytest.mark.parametrize(("name", "write"), [("a.csv", write_csv), ("a.parquet", write_parquet)])
def test_a_missing_column_is_named(
    column: str, name: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [{key: value for key, value in row.items() if key != column} for row in export()]
    with pytest.raises(ExportUnusable, match=f"{name} has no column {column}"):
        list(read_exports([write(tmp_path / name, rows)]))


def test_a_broken_file_is_refused_by_its_name(tmp_path: Path) -> None:
    whole = write_csv(tmp_path / "whole.csv.gz", export()).read_bytes()
    files = {
        "cut.csv.gz": whole[: len(whole) // 2],
        "cut.parquet": write_parquet(tmp_path / "w.parquet", export()).read_bytes()[:-40],
        "empty.csv": b"",
        "binary.csv": b"\xff\xfe\x00",
    }
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(ExportUnusable, match=name):
            list(read_exports([tmp_path / name]))


def test_a_number_that_is_none_is_refused_by_its_place(tmp_path: Path) -> None:
    rows = export()
    rows[3]["line_item_usage_amount"] = "many"
    with pytest.raises(ExportUnusable, match="row 4: line_item_usage_amount is no number"):
        compared(tmp_path, rows)


def test_as_json_money_is_plain_text(tmp_path: Path) -> None:
    rows = export()
    document = json.loads(json.dumps(compared(tmp_path, rows[2:]).as_json()))
    assert document["unexplained_usd"] == "0.166677"
    assert document["rows"][0]["function"] == FUNCTIONS[0]


@pytest.mark.parametrize(
    "names",
    [("账期", "产品Code", "计费项", "用量", "应付金额", "币种", "实例标签"),
     ("BillingCycle", "ProductCode", "BillingItem", "Usage", "PretaxAmount", "Currency", "Tag")],
)  # fmt: skip
def test_alibabas_bill_is_compared_in_compute_units(names: tuple[str, ...], tmp_path: Path) -> None:
    tariff = Tariff("fc", "international", "x86_64")
    # Six hours, fifty calls, two functions of 200 s each, on 0.578 vCPU and 1 GB.
    calls = HOURS * CALLS * len(FUNCTIONS)
    units = calls * (Decimal("0.0075") + 200 * Decimal("0.578") + 200 * Decimal("0.15"))
    row = (
        "2026-11",
        "fc",
        "CU",
        units,
        units * Decimal("0.00002"),
        "USD",
        "key:app value:farthing",
    )
    file = tmp_path / "bill.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([names, row])
    found = compare(settled(tariff), read_exports([file]), MONTH, ("app", "farthing"))
    assert [(row.item, row.theirs, row.notes) for row in found.rows] == [("fc.cu", units, ())]
    assert abs(found.unexplained_usd) < Decimal("1e-8")
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([names, (*row[:5], "CNY", row[6])])
    with pytest.raises(ExportUnusable, match="bills in CNY"):
        list(read_exports([file]))
