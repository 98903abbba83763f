"""Rows come out of every format, packing and shard as they went in."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs import (
    Reader,
    compression,
    find_inputs,
    plan_shards,
    read_rows,
    records,
    rows,
)
from farthing.batch.inputs import parquet as batch_parquet
from tests.batch.files import (
    ENDINGS,
    content_of,
    flat,
    job_of,
    packed,
    read_all,
    refused,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNICODE = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(UNICODE | st.sampled_from("\",\n\r' é京😀"), max_size=12)
ONE_LINE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), max_size=9
)


def expected(pairs: list[tuple[str, str]], first: int) -> list[tuple[int, str, str]]:
    return [(row, *pair) for row, pair in enumerate(pairs, first) if pair[1].strip()]


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_are_the_same_however_a_file_is_cut(tmp_path: Path, ending: str) -> None:
    texts = ONE_LINE if ending.startswith("tsv") else TEXTS
    tables = st.lists(st.tuples(texts, texts), min_size=1, max_size=12)

    @settings(max_examples=25, deadline=None)
    @given(tables, st.integers(1, 13), st.integers(1, 5), st.sampled_from([3, 64, 1 << 20]))
    def holds(
        pairs: list[tuple[str, str]], shard_rows: int, window_rows: int, block_bytes: int
    ) -> None:
        file = write(tmp_path / f"rows.{ending}", pairs)
        with (
            patch.object(records, "BLOCK_BYTES", block_bytes),
            patch.object(batch_parquet, "BATCH_ROWS", block_bytes),
        ):
            found = read_all(job_of(file, shard_rows=shard_rows), window_rows)
        assert flat(found) == expected(pairs, 2 if ending[:3] in {"csv", "tsv"} else 1)
        assert len(found) == -(-len(pairs) // shard_rows)
        blank = [(row.id, row.reason) for shard in found for row in shard.rejected]
        assert blank == [(id_, "the text is blank") for id_, text in pairs if not text.strip()]

    holds()


SCRAPS = st.sampled_from(['"', '""', "a", ",", "\n", ',"', '",', '"a"', 'a"', '"\n"'])


@settings(max_examples=600, deadline=None)
# A doubled quote that is cut apart by a block which has a quote that is text.
@example(content='aaaaa,"a""\na",a"a\n', carriage_returns=False, block_bytes=9, shard_rows=1)
@given(
    st.lists(SCRAPS, max_size=25).map("".join),
    st.booleans(),
    st.integers(1, 9) | st.just(99),
    st.integers(1, 4),
)
def test_csv_is_read_as_pythons_csv_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    content: str,
    carriage_returns: bool,
    block_bytes: int,
    shard_rows: int,
) -> None:
    content = content.replace("\n", "\r\n") if carriage_returns else content
    ended = list(csv.reader(io.StringIO(content + "\nend", newline="")))
    assume(content.strip("\r\n"))
    file = tmp_path_factory.getbasetemp() / "rows.csv"
    file.write_bytes(b"id,text\n" + content.encode())
    with patch.object(records, "BLOCK_BYTES", block_bytes):
        if ended[-1] != ["end"]:
            with pytest.raises(InputInvalid, match="not closed"):
                plan_shards(job_of(file))
            return
        found = read_all(job_of(file, shard_rows=shard_rows))
    wanted = [(number, row) for number, row in enumerate(ended[:-1], 2) if row]
    assert flat(found) == [(n, *row) for n, row in wanted if len(row) == 2 and row[1].strip()]
    assert [row for row, _, _ in refused(found)] == [
        n for n, row in wanted if len(row) != 2 or not row[1].strip()
    ]


@pytest.mark.parametrize("text", ["x" * 140_000, "one\rtwo", '5" and "6', 'so ""far"", so good'])
def test_csv_has_fields_that_pythons_csv_refuses_or_reads_loosely(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "rows.csv"
    quoted = f'1,"{text.replace(chr(34), chr(34) * 2)}"\n'
    file.write_text(f"id,text\n{quoted}2,{text.replace(',', ';')}\n3,plain\n", newline="")
    found = flat(read_all(job_of(file, input_max_chars=200_000)))
    loose = text.replace(",", ";")
    assert found == [(2, "1", text), (3, "2", loose), (4, "3", "plain")]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "csv.gz", "jsonl.zst"])
def test_blank_lines_are_no_rows_and_are_counted(tmp_path: Path, ending: str) -> None:
    form, _, packing = ending.partition(".")
    lines = content_of(form, [("1", "one"), ("2", "two"), ("3", "three")]).splitlines()
    file = tmp_path / f"rows.{ending}"
    file.write_bytes(packed(b"\n\r\n" + b"\n\n\r\n".join(lines) + b"\n\n", packing))
    # Two blank lines stand before the first line, and two after each.
    at = {"one": 3, "two": 6, "three": 9} if form == "jsonl" else {"one": 6, "two": 9, "three": 12}
    for shard_rows in (1, 2, 3):
        found = flat(read_all(job_of(file, shard_rows=shard_rows)))
        assert {text: number for number, _, text in found} == at


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    for form in ("csv", "tsv", "jsonl"):
        file = tmp_path / f"rows.{form}"
        file.write_bytes(b"\xef\xbb\xbf" + content_of(form, [("a", "one"), ("b", "two")]))
        assert [row[1:] for row in flat(read_all(job_of(file)))] == [("a", "one"), ("b", "two")]


def test_a_tsvs_quotes_are_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_bytes(b'id\ttext\r\n1\t"open\r\n2\t27" screen\r\n')
    assert flat(read_all(job_of(file))) == [(2, "1", '"open'), (3, "2", '27" screen')]


def test_without_an_id_column_a_rows_id_is_its_number(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"text,n\none,1\n,2\n\nthree,3\nshort\n")
    found = read_all(job_of(file, id_column=None))
    assert flat(found) == [(2, "2", "one"), (5, "5", "three")]
    assert [(number, id_) for number, id_, _ in refused(found)] == [(3, "3"), (6, "6")]


def test_rows_that_cannot_be_scored_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    lines = [
        b"id,text",
        b"1,good",
        "2,größe".encode("latin-1"),
        b"3",
        b"4,a,b",
        b"5, ",
        b"6," + b"x" * 21,
        ",größe".encode(),
    ]
    file.write_bytes(b"\n".join(lines))
    found = read_all(job_of(file, input_max_chars=20))
    assert flat(found) == [(2, "1", "good"), (8, "", "größe")]
    assert refused(found) == [
        (3, None, "the row is not UTF-8"),
        (4, None, "the row has 1 fields and the header 2"),
        (5, None, "the row has 3 fields and the header 2"),
        (6, "5", "the text is blank"),
        (7, "6", "the text has 21 characters and may have 20"),
    ]
    assert {row.file for shard in found for row in shard.rejected} == {"rows.csv"}


def test_json_values_become_text_where_they_are_plain(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [
        b'{"id": 1, "text": "a\\nb"}',
        b'{"id": 123456789012345678901, "text": 7.5}',
        b'{"id": true, "text": false}',
        b'{"text": "no id"}',
        b'{"id": null, "text": "null id"}',
        b'{"id": 6}',
        b'{"id": 7, "text": null}',
        b'{"id": 8, "text": ["a"]}',
        b'["text"]',
        b'{"id": 10, "text": "open',
        b'{"id": 11, "text": "\xff"}',
        b'{"id": 12, "text": "\\ud800"}',
        b'{"id": 13, "text": 1e999}',
        b"[" * 100_000,
        b'{"id": {}, "text": " "}',
    ]
    file.write_bytes(b"\n".join(lines))
    found = read_all(job_of(file))
    assert flat(found) == [
        (1, "1", "a\nb"),
        (2, "123456789012345678901", "7.5"),
        (3, "true", "false"),
        (4, "", "no id"),
        (5, "", "null id"),
    ]
    assert refused(found) == [
        (6, "6", "the line lacks the key 'text'"),
        (7, "7", "the key 'text' holds no text"),
        (8, "8", "the key 'text' holds no text"),
        (9, None, "the line is not a JSON object"),
        (10, None, "the line is not a JSON object"),
        (11, None, "the line is not UTF-8"),
        (12, None, "the line is not a JSON object"),
        (13, None, "the line is not a JSON object"),
        (14, None, "the line is not a JSON object"),
        (15, "", "the text is blank"),
    ]


def test_parquet_values_become_text_where_they_are_plain(tmp_path: Path) -> None:
    bad = pa.array([b"\xff", b"ok", None, b"", b"five"], pa.binary()).view(pa.string())
    columns = {
        "bad": bad,
        "whole": pa.array([1, 2, None, 4, 5]),
        "real": pa.array([0.5, 1.5, 2.5, 3.5, None]),
        "yes": pa.array([True, False, None, True, True]),
        "kind": pa.array(["x", "y", None, "x", "y"]).dictionary_encode(),
        "large": pa.array(["a", "b", "c", "d", "e"], pa.large_string()),
    }
    file = tmp_path / "rows.parquet"
    parquet.write_table(pa.table(columns), file)

    def read(text: str, id_: str) -> list[tuple[int, str, str]]:
        return flat(read_all(job_of(file, text_column=text, id_column=id_)))

    found = read_all(job_of(file, text_column="bad", id_column="whole"))
    assert flat(found) == [(2, "2", "ok"), (5, "5", "five")]
    assert refused(found) == [
        (1, None, "the row is not UTF-8"),
        (3, "", "the text is missing"),
        (4, "4", "the text is blank"),
    ]
    assert read("real", "kind")[:2] == [(1, "x", "0.5"), (2, "y", "1.5")]
    assert [text for _, _, text in read("yes", "large")] == ["true", "false", "true", "true"]
    assert read("kind", "kind")[0] == (1, "x", "x")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("text_chars", [10, 99_000])
def test_shards_are_read_in_any_order_by_any_reader(
    tmp_path: Path, ending: str, text_chars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_parquet, "BATCH_ROWS", 3)
    pairs = [(str(row), f"{row:{text_chars}}") for row in range(23)]
    job = job_of(write(tmp_path / f"rows.{ending}", pairs), shard_rows=4)
    shards = plan_shards(job).shards
    apart = {shard.number: list(read_rows(job, shard, 3)) for shard in shards}
    with Reader(job) as reader:
        for number in (3, 4, 1, 5, 5, 0, 2):
            assert list(reader.rows(shards[number], 3)) == apart[number]
        # A reader that was left amid a shard reads the next one all the same.
        next(reader.rows(shards[2], 1))
        assert list(reader.rows(shards[3], 3)) == apart[3]
    texts = [text for number in range(6) for window in apart[number] for text in window.texts]
    assert texts == [text for _, text in pairs]


@pytest.mark.parametrize("ending", ["csv.gz", "tsv.zst"])
def test_rising_shards_of_a_packed_file_unpack_it_once(tmp_path: Path, ending: str) -> None:
    pairs = [(str(row), f"text {row} " * 200) for row in range(2_000)]
    job = job_of(write(tmp_path / f"rows.{ending}", pairs), shard_rows=100)
    shards = plan_shards(job).shards
    unpacked = 0
    more = compression.Content._more

    def counted(content: compression.Content, count: int) -> bytes:
        nonlocal unpacked
        unpacked += len(found := more(content, count))
        return found

    with patch.object(compression.Content, "_more", counted), Reader(job) as reader:
        for shard in shards:
            # Some are other workers'.
            if shard.number % 3 == 2:
                continue
            assert sum(len(window.texts) for window in reader.rows(shard, 64)) == 100
    assert shards[-1].end > 2 << 20
    assert unpacked <= shards[-1].end


def test_rising_shards_of_a_row_group_unpack_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_parquet, "BATCH_ROWS", 7)
    pairs = [(str(row), f"text {row}") for row in range(1_000)]
    job = job_of(write(tmp_path / "rows.parquet", pairs, group_rows=400), shard_rows=30)
    shards = plan_shards(job).shards
    unpacked = 0
    batches_from = batch_parquet.ParquetFile._batches_from

    def counted(file: batch_parquet.ParquetFile, group: int) -> Iterator[tuple[int, Any]]:
        nonlocal unpacked
        for row, batch in batches_from(file, group):
            unpacked += len(batch)
            yield row, batch

    monkeypatch.setattr(batch_parquet.ParquetFile, "_batches_from", counted)
    with Reader(job) as reader:
        for shard in shards[:20]:
            # Some are other workers'.
            if shard.number % 3 == 2:
                continue
            assert sum(len(window.texts) for window in reader.rows(shard, 64)) == 30
        assert shards[19].end == 600
        assert unpacked <= 600 + 7
        # A row group that is not needed is not unpacked.
        list(reader.rows(shards[-1], 64))
        assert unpacked <= 600 + 7 + 200


def test_long_texts_end_a_window_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WINDOW_CHARS_MAX", 1_000)
    for ending in ("csv", "parquet"):
        pairs = [(str(row), "x" * 400) for row in range(20)]
        # Texts of one block are taken together.
        monkeypatch.setattr(records, "BLOCK_BYTES", 400)
        job = job_of(write(tmp_path / f"rows.{ending}", pairs), shard_rows=20)
        (shard,) = plan_shards(job).shards
        windows = [len(window.texts) for window in read_rows(job, shard, 64)]
        assert sum(windows) == 20
        assert max(windows) <= 4


def test_shards_do_not_cross_files_and_are_numbered_through(tmp_path: Path) -> None:
    for name, count in (("b.csv", 5), ("a.csv", 4)):
        write(tmp_path / name, [(f"{name}{row}", "text") for row in range(count)])
    job = job_of(tmp_path / "*.csv")
    plan = plan_shards(job)
    assert [(shard.number, shard.input, shard.first_row, shard.rows) for shard in plan.shards] == [
        (0, 0, 2, 3),
        (1, 0, 5, 1),
        (2, 1, 2, 3),
        (3, 1, 5, 2),
    ]
    assert plan.job == job.id
    assert msgspec.json.decode(msgspec.json.encode(plan), type=type(plan)) == plan


def test_a_pattern_gives_its_files_in_order_and_each_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c[1].csv", "d.txt"):
        write(tmp_path / name, [("1", "text")]) if name != "d.txt" else (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    pattern = str(tmp_path / "*.csv")
    literal = str(tmp_path / "c[1].csv")
    inputs = find_inputs([literal, pattern, f"file://{tmp_path}/a.csv"])
    assert [given.uri.rpartition("/")[2] for given in inputs] == ["c[1].csv", "a.csv", "b.csv"]
    assert {given.bytes for given in inputs} == {(tmp_path / "a.csv").stat().st_size}


def test_planning_tells_how_far_it_is(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.csv.gz", [("1", "text " * 9)] * 999) for n in "ab"]
    job, steps = job_of(*files), list[tuple[int, int]]()
    plan_shards(job, lambda read, total: steps.append((read, total)))
    total = sum(file.stat().st_size for file in files)
    assert steps[-1] == (total, total)
    assert [read for read, _ in steps] == sorted(read for read, _ in steps)
