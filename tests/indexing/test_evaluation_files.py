"""Judged queries are read from what people have, and what is wrong is said with its row."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
from pyarrow import parquet

from farthing.indexing.evaluation.queries import Query, read_qrels, read_queries
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from pathlib import Path

TSV = "query_id\tquery\tsplit\nprq-1\tiphone 7\ttrain\nfaq-2\tred shoes, for men\ttest\n"
READ = [Query("prq-1", "iphone 7", "train"), Query("faq-2", "red shoes, for men", "test")]
CSV = 'split,qid,text\ntrain,prq-1,iphone 7\ntest,faq-2,"red shoes, for men"\n'
JSONL = "".join(
    json.dumps({"_id": query.id, "text": query.text, "split": query.split, "metadata": {}}) + "\n"
    for query in READ
)
QRELS = "query_id\tdoc_id\tgrade\nprq-1\td1\t1\nprq-1\td2\t2\nfaq-2\td1\t0\n"
TREC = "prq-1 0 d1 1\n\nprq-1 Q0 d2 2\nfaq-2\t0\td1\t0\n"
JUDGED = {"prq-1": {"d1": 1, "d2": 2}, "faq-2": {"d1": 0}}


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    raw = text.encode()
    file.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return file


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(("ending", "text"), [("tsv", TSV), ("csv", CSV), ("jsonl", JSONL)])
def test_queries_are_the_same_in_every_format(
    ending: str, text: str, packed: str, tmp_path: Path
) -> None:
    assert read_queries(write(tmp_path, f"q.{ending}{packed}", text)) == READ


def test_queries_may_stand_in_parquet_and_need_no_split(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "query": ["one", "two"]})
    parquet.write_table(table, tmp_path / "q.parquet")
    assert read_queries(tmp_path / "q.parquet") == [Query("1", "one"), Query("2", "two")]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_queries(write(tmp_path, "q.tsv", "\ufeff" + TSV)) == READ


@pytest.mark.parametrize(
    ("query_id", "kind"), [("prq-17", "prq"), ("a-b-c", "a"), ("17", ""), ("-17", ""), ("", "")]
)
def test_a_query_is_of_the_kind_that_its_id_begins_with(query_id: str, kind: str) -> None:
    assert Query(query_id, "text").kind == kind


@pytest.mark.parametrize("name", ["qrels.tsv", "qrels.tsv.gz"])
@pytest.mark.parametrize("text", [QRELS, TREC])
def test_what_qrels_hold_tells_their_format(name: str, text: str, tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path, name, text)) == JUDGED


@pytest.mark.parametrize("name", ["qrels", "qrels.txt", "cran.trec", "test.qrels.gz"])
def test_trec_files_are_read_whatever_they_are_called(name: str, tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path, name, TREC)) == JUDGED


def test_the_names_of_beir_are_understood(tmp_path: Path) -> None:
    text = QRELS.replace("query_id\tdoc_id\tgrade", "query-id\tcorpus-id\tscore")
    assert read_qrels(write(tmp_path, "test.tsv", text)) == JUDGED


def test_a_grade_below_0_counts_as_0(tmp_path: Path) -> None:
    found = read_qrels(write(tmp_path, "q.txt", "1 0 spam -2\n1 0 good 1\n"))
    assert found == {"1": {"spam": 0, "good": 1}}


def test_a_judgement_said_twice_is_one(tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path, "q.txt", "1 0 d 1\n1 0 d 1\n")) == {"1": {"d": 1}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.tsv", TSV + "prq-1\tagain\ttest\n", "same query id again in row 4"),
        ("q.tsv", TSV + "prq-3\t \ttest\n", "row 4 without a query"),
        ("q.tsv", TSV + "\tx\ttest\n", "row 4 without an id"),
        ("q.tsv", TSV + "prq-3\tx\n", "row 4 has 2"),
        ("q.tsv", "query_id\tquery\n", "has none"),
        ("q.tsv", "", "no columns"),
        ("q.tsv", "number\tquery\n1\tx\n", "query_id or query-id or qid"),
        ("q.tsv", "query_id\tquery\tquery\n1\tx\ty\n", "2 times"),
        ("q.jsonl", '{"id": "1", "text": null}\n', "row 1 without a query"),
        ("q.jsonl", '{"id": "1", "text": "x"}\n{"id": "2"}\n', "line 2 lacks it"),
        ("q.txt", TSV, "neither with a table's header nor with a JSON object"),
        ("q.xlsx", '{"id": "1", "text": "x"}\n', "ending names no format"),
    ],
)
def test_wrong_queries_are_refused_with_file_and_row(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid) as refused:
        read_queries(write(tmp_path, name, text))
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{name} ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.tsv", QRELS + "prq-1\td9\tgood\n", "row 5 whose grade is no whole number"),
        ("q.tsv", QRELS + "prq-1\td9\t\n", "row 5 whose grade is no whole number"),
        ("q.tsv", QRELS + "prq-1\td9\t٣\n", "row 5 whose grade is no whole number"),
        ("q.tsv", QRELS + f"prq-1\td9\t{'9' * 5000}\n", "row 5 whose grade"),
        ("q.tsv", QRELS + "prq-1\t\t1\n", "row 5 without a document id"),
        ("q.tsv", QRELS + "\td9\t1\n", "row 5 without a query id"),
        ("q.tsv", QRELS + "prq-1\td1\t2\n", "two grades for the same query, the second in row 5"),
        ("q.tsv", "query_id\tdoc_id\tgrade\n", "has none"),
        ("q.tsv", "query_id\tdoc_id\n1\t2\n", "grade or score or relevance"),
        ("q.txt", "1 0 d 1\n1 0 d\n", "row 2 has 3 fields"),
        ("q.txt", "1 0 d 1\n1 0 d 1.5\n", "row 2 whose grade"),
    ],
)
def test_wrong_judgements_are_refused_with_file_and_row(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid) as refused:
        read_qrels(write(tmp_path, name, text))
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{name} ")


@pytest.mark.parametrize("read", [read_queries, read_qrels])
@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("q.tsv", b"query_id\tquery\tdoc_id\tgrade\n1\t\xff\t2\t1\n", "UTF-8"),
        ("q.jsonl", b"\xff\xfe\n", "UTF-8"),
        ("q.tsv.gz", b"not packed at all", "cannot be read"),
        ("q.tsv.gz", gzip.compress(TSV.encode())[:-9], "q.tsv.gz"),
        ("q.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
    ],
)
def test_damaged_files_are_told_of_not_raised_through(
    read: object, name: str, raw: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataInvalid, match=said):
        read(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("no.tsv", "no.jsonl", "no.parquet", "no.txt"):
        with pytest.raises(DataInvalid, match=name):
            read_queries(tmp_path / name)
        with pytest.raises(DataInvalid, match=name):
            read_qrels(tmp_path / name)
