"""Rows longer than a block are read all the same, each once and under its own number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farthing.tables import delimited
from farthing.tables.chunk import DataInvalid
from farthing.tables.files import chunks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("ending", [".tsv", ".csv"])
@pytest.mark.parametrize("place", [0, 1, 700, 1999])
def test_no_row_is_lost_or_doubled(tmp_path: Path, ending: str, place: int) -> None:
    rows = [(str(number), f"title {number}") for number in range(2000)]
    rows[place] = (rows[place][0], "long " * 120_000)
    mark = "\t" if ending == ".tsv" else ","
    file = tmp_path / f"offers{ending}"
    file.write_text("".join(f"{mark.join(row)}\n" for row in [("id", "title"), *rows]))
    read, expected_row = [], 2
    for chunk in chunks(file, ("id", "title")):
        assert chunk.first_row == expected_row
        read += zip(*chunk.columns, strict=True)
        expected_row += len(chunk.columns[0])
    assert [(key, text.strip()) for key, text in read] == [
        (key, text.strip()) for key, text in rows
    ]


def test_a_row_of_more_than_a_megabyte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "offers.tsv"
    file.write_text("id\ttitle\n1\ta\n2\t" + "x" * (2 * delimited.ROW_BYTES_MAX) + "\n")
    with pytest.raises(DataInvalid, match=r"has a row longer than 1 MB"):
        list(chunks(file, ("id", "title")))


def test_a_bad_row_behind_a_long_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "offers.tsv"
    long = "x" * 2 * delimited.BLOCK_BYTES
    file.write_text(f"id\ttitle\n1\t{long}\n2\tb\n3\tc\td\n")
    with pytest.raises(DataInvalid, match=r"row 4 has 3"):
        list(chunks(file, ("id", "title")))
