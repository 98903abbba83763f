"""Files of documents: what is refused with its row, what is left out, what is cut."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.indexing.catalogue import Catalogue
from farthing.indexing.seen import SeenIds
from farthing.search.documents import TEXT_CHARS_MAX
from farthing.search.errors import CatalogueInvalid
from farthing.tables.chunk import DataInvalid
from tests.search.writing import empty_manifest

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "sku,title,text,brand,price\n"


def catalogue(path: Path, content: str, *, cut_long: bool = False) -> Catalogue:
    path.write_text(content, encoding="utf-8")
    return Catalogue(path, empty_manifest(), cut_long=cut_long)


def test_rows_become_documents_in_file_order(tmp_path: Path) -> None:
    found = catalogue(
        tmp_path / "shop.csv",
        f'{HEADER}1,red shoe,"soft, light",Bosch,19.90\n 2 ,,,,\n3,hat,,,\n',
    )
    survey = found.survey()
    assert (survey.documents, survey.skipped) == (2, 1)
    first, second = found.documents()
    assert (first.id, first.texts, first.filters) == (
        "1",
        ("red shoe", "soft, light"),
        ("Bosch", 19.9),
    )
    assert first.stored == {"sku": "1", "title": "red shoe", "brand": "Bosch", "price": 19.9}
    assert (second.id, second.texts, second.filters) == ("3", ("hat", ""), (None, None))


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    rows = [
        {"sku": "1", "title": "schöner Schuh", "text": "weich", "brand": "B", "price": "5"},
        {"sku": "2", "title": "电视", "text": "x", "brand": "C", "price": "7.5"},
    ]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    tabbed = "\n".join("\t".join(row.values()) for row in rows)
    found = [
        list(catalogue(tmp_path / "a.jsonl", lines).documents()),
        list(catalogue(tmp_path / "a.tsv", "\t".join(rows[0]) + "\n" + tabbed).documents()),
    ]
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.write(lines)
    found.append(list(Catalogue(tmp_path / "b.jsonl.gz", empty_manifest()).documents()))
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    found.append(list(Catalogue(tmp_path / "c.parquet", empty_manifest()).documents()))
    assert all(each == found[0] for each in found)
    assert [document.id for document in found[0]] == ["1", "2"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("1,shoe,,,\n2,hat,,,\n1,cap,,,\n", "in row 4 the id of row 2 again"),
        ("1,shoe,,,\n ,hat,,,\n", "row 3: A document has no id in 'sku'"),
        ("1,shoe,,,\n2,hat,,,12 EUR\n", "row 3: A document has in 'price' what is no number"),
        ("1,shoe,,,nan\n", "row 2: A document has in 'price' what is no number"),
        (f"{'x' * 600},shoe,,,\n", "row 2: A document has an id of 600 bytes"),
        (f"1,shoe,{'long ' * 200_001},,\n", "row 2: A document has 1,000,009 characters"),
        ("1,,,,\n2, ,,,\n", "none of its 2 rows has text in 'title' or 'text'"),
    ],
)
def test_what_cannot_be_indexed_is_told_with_its_row(tmp_path: Path, rows: str, told: str) -> None:
    # Tabs, as one row of a CSV file may not be as long.
    found = catalogue(tmp_path / "shop.tsv", (HEADER + rows).replace(",", "\t"))
    with pytest.raises(CatalogueInvalid) as refused:
        found.survey()
    assert told in str(refused.value)
    assert "12 EUR" not in str(refused.value)


def test_a_missing_column_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"'text'.*sku, title"):
        catalogue(tmp_path / "shop.csv", "sku,title\n1,shoe\n").survey()


def test_long_documents_are_cut_where_that_is_asked_for(tmp_path: Path) -> None:
    long = "word " * 199_999
    line = json.dumps({"sku": "1", "title": long, "text": long, "brand": None, "price": 3})
    found = catalogue(tmp_path / "shop.jsonl", line, cut_long=True)
    assert found.survey().documents == 1
    (document,) = found.documents()
    assert [len(text) for text in document.texts] == [999_995, 5]
    assert sum(map(len, document.texts)) == TEXT_CHARS_MAX


@given(st.lists(st.lists(st.text(max_size=3), max_size=5), max_size=6))
def test_ids_met_before_are_found_as_a_set_would(batches: list[list[str]]) -> None:
    seen, row = SeenIds(), 0
    known: dict[str, int] = {}
    for batch in batches:
        rows = list(range(row, row + len(batch)))
        row += len(batch)
        expected = None
        for number, each in zip(rows, batch, strict=True):
            if each in known and expected is None:
                expected = (number, known[each])
            known.setdefault(each, number)
        assert seen.add(batch, rows) == expected
        if expected:
            return


def test_a_million_ids_take_16_bytes_each() -> None:
    seen = SeenIds()
    for start in range(0, 1_000_000, 100_000):
        rows = range(start, start + 100_000)
        assert seen.add([str(number) for number in rows], rows) is None
    held: Any = [each for each in vars(seen).values() if isinstance(each, np.ndarray)]
    assert sum(each.nbytes for each in held) == 16_000_000
    assert seen.add(["123456"], [1_000_000]) == (1_000_000, 123_456)
