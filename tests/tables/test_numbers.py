"""Numbers in typed files become the text that a person would write."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from farthing.tables.files import chunks

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("price", "stock")


def test_json_lines_may_have_prices(tmp_path: Path) -> None:
    file = tmp_path / "offers.jsonl"
    file.write_text('{"price": 12.5, "stock": 3}\n{"price": "9.99", "stock": null}\n')
    (chunk,) = chunks(file, COLUMNS)
    assert chunk.columns == (["12.5", "9.99"], ["3", None])


def test_parquet_may_have_prices(tmp_path: Path) -> None:
    file = tmp_path / "offers.parquet"
    prices = pa.array([Decimal("12.50"), None], pa.decimal128(8, 2))
    parquet.write_table(pa.table({"price": prices, "stock": [3.5, 0.25]}), file)
    (chunk,) = chunks(file, COLUMNS)
    assert chunk.columns == (["12.50", None], ["3.5", "0.25"])
