"""Files as users have them: every format gives the same rows, and a bad file names its row."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

pa = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
parquet = pytest.importorskip("pyarrow.parquet")

from farthing.forge.data.files import read_labelled, read_texts  # noqa: E402
from farthing.forge.data.paths import DataMissing, locate  # noqa: E402
from farthing.tables import delimited, json_lines  # noqa: E402
from farthing.tables.chunk import DataInvalid  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [
    ('5" screen "as new"', "phones"),
    ("NA", "null"),
    ("洗衣机 8 kg", "1"),
    ("café, été; naïve\u2028line", "true"),
    ("x" * 3000, "long"),
]


def as_tsv(path: Path) -> None:
    lines = ["id\ttext\tlabel", *(f"{n}\t{t}\t{y}" for n, (t, y) in enumerate(ROWS))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def as_csv(path: Path) -> None:
    columns = {"label": [y for _, y in ROWS], "text": [t for t, _ in ROWS]}
    csv.write_csv(pa.table(columns), path)


def as_jsonl(path: Path) -> None:
    lines = [json.dumps({"text": t, "label": y, "more": [1]}) for t, y in ROWS]
    path.write_text("\n".join(lines), encoding="utf-8")


def as_parquet(path: Path) -> None:
    labels = pa.array([y for _, y in ROWS]).dictionary_encode()
    parquet.write_table(pa.table({"label": labels, "text": [t for t, _ in ROWS]}), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "tsv": as_tsv,
    "csv": as_csv,
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


TEXT_FORMATS = [ending for ending in WRITERS if ending != "parquet"]


@pytest.mark.parametrize(
    ("ending", "mark"),
    [
        ("parquet", b""),
        *((ending + packed, mark)
          for ending in TEXT_FORMATS
          for packed in ("", ".gz")
          for mark in (b"", b"\xef\xbb\xbf")),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_rows(ending: str, mark: bytes, tmp_path: Path) -> None:
    ending, _, packed = ending.partition(".")
    file = tmp_path / f"rows.{ending}"
    WRITERS[ending](file)
    content = mark + file.read_bytes()
    if packed:
        file = tmp_path / f"rows.{ending}.gz"
        content = gzip.compress(content)
    file.write_bytes(content)
    read = read_labelled(file, "text", "label")
    assert list(zip(read.texts, read.labels, strict=True)) == ROWS
    assert read_texts(file, "text", rows_max=2) == tuple(text for text, _ in ROWS[:2])


def test_a_csv_field_may_span_lines_and_quote_quotes(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('text,label\n"two\nlines, ""said""",a\nplain,b\n', encoding="utf-8")
    assert read_labelled(file, "text", "label").texts == ('two\nlines, "said"', "plain")


def test_a_tsv_of_windows_and_one_without_a_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_bytes(b'text\tlabel\r\n"open\ta\r\nb\tc')
    assert read_labelled(file, "text", "label").texts == ('"open', "b")


def test_numbers_and_truth_values_are_labels(tmp_path: Path) -> None:
    lines, table = tmp_path / "rows.jsonl", tmp_path / "rows.parquet"
    lines.write_text('{"t": "a", "y": 1}\n\n{"t": "b", "y": 0}\n', encoding="utf-8")
    parquet.write_table(pa.table({"t": ["a", "b"], "y": pa.array([1, 0], pa.int8())}), table)
    assert read_labelled(lines, "t", "y").labels == ("1", "0")
    assert read_labelled(table, "t", "y").labels == ("1", "0")
    lines.write_text('{"t": "a", "y": true}\n', encoding="utf-8")
    assert read_labelled(lines, "t", "y").labels == ("true",)


def test_chunks_join_to_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(delimited, "ROW_BYTES_MAX", 4096)
    monkeypatch.setattr(json_lines, "CHUNK_LINES", 7)
    texts = tuple(f"text number {number}" for number in range(2000))
    tsv, lines = tmp_path / "rows.tsv", tmp_path / "rows.jsonl"
    tsv.write_text("t\ty\n" + "".join(f"{text}\tx\n" for text in texts), encoding="utf-8")
    lines.write_text("".join(json.dumps({"t": text}) + "\n" for text in texts), encoding="utf-8")
    assert read_labelled(tsv, "t", "y").texts == texts
    assert read_texts(lines, "t") == texts
    bad = tsv.read_bytes().replace(b"number 1500\t", b"number \xff\t")
    tsv.write_bytes(bad)
    with pytest.raises(DataInvalid, match="row 1502 is not"):
        read_texts(tsv, "t")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", b"", r"names no format.*\.csv, \.tsv.*Convert or rename"),
        ("a.parquet.gz", b"", "names no format"),
        ("a.tsv", b"id\ttitle\n1\tx\n", "its column 'text' and has the columns id, title. Name"),
        ("a.jsonl", b'{"id": 1}\n', "its column 'text' and has the columns id"),
        ("a.csv", b"text,label,text\na,b,c\n", "the column 'text' 2 times.*Rename"),
        ("a.jsonl", b'{"text": "a", "label": "b", "text": "c"}\n', "the column 'text' 2 times"),
        ("a.tsv", b"text\tlabel\na\tb\nc\td\te\n", "2 columns of its header, and row 3 has 3"),
        ("a.csv", b'text,label\n"a,b\nc,d\n', "row 2 has 1. Correct that row, or the quotes"),
        ("a.tsv", b"text\tlabel\na\tb\n\xffc\td\n", "its row 3 is not in the column 'text'.*UTF-8"),
        ("a.tsv", b"te\xffxt\tlabel\na\tb\n", "its header is not. Save the file as UTF-8"),
        ("a.jsonl", b'{"text": "\xff", "label": "x"}\n', "row 1 is not. Save"),
        ("a.tsv", b"", "has none. Give a file with a header and rows"),
        ("a.tsv", b"text\tlabel\na\t\nb\tc\nd\t \n", "no label.*'label' in the rows 2, 4. Label"),
        ("a.jsonl", b'{"text": "a", "label": null}\n', "no label.*in the rows 1. Label"),
        ("a.jsonl", b'[{"text": "a"}]', "one JSON array.*Write one object on each line"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": "c"}\n', "'label' .*line 2 lacks it"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\nnone\n', "line 2 is not one object"),
        ("a.jsonl", b'{"text": ["a"], "label": "b"}\n', "line 1 is not.*found a list"),
        ("a.jsonl", b'{"text": "\\ud800", "label": "b"}\n', "line 1 is not one object"),
        ("a.tsv.gz", b"text\tlabel\na\tb\n", "cannot be read as TSV.*Repair or export"),
        ("a.jsonl.gz", b"{}", "cannot be unpacked.*again"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a", "label": "b"}\n' * 99)[:-9], "unpacked"),
        ("a.parquet", b"PAR1 no", "cannot be read as Parquet.*again"),
    ],
)
def test_a_bad_file_says_what_is_wrong_and_where(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataInvalid, match=f"(?s)^{name}.*{said}"):
        read_labelled(file, "text", "label")


def test_a_row_longer_than_a_block_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(delimited, "ROW_BYTES_MAX", 4096)
    monkeypatch.setattr(json_lines, "LINE_BYTES_MAX", 4096)
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    table.write_text("text,label\na,b\n" + "x" * 9000 + ",c\nd,e\n", encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"has a row longer than .* Close the quote"):
        read_labelled(table, "text", "label")
    lines.write_text(json.dumps({"text": "x" * 9000, "label": "c"}), encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"has a line 1 longer than .* Write one object"):
        read_labelled(lines, "text", "label")


def test_parquet_refuses_what_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["a"], "label": [[0.5]]}), file)
    with pytest.raises(DataInvalid, match=r"type list.* in its column 'label'.*Convert"):
        read_labelled(file, "text", "label")
    broken = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"text": broken, "label": ["x", "y"]}), file)
    with pytest.raises(DataInvalid, match=r"row 2 is not in the column 'text'"):
        read_labelled(file, "text", "label")


def test_text_and_label_are_two_columns(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\nx\n", encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"the same column 'text'\. Name two"):
        read_labelled(tmp_path / "a.tsv", "text", "text")


def test_names_start_from_the_data_folder_else_from_the_working_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.tsv"
    file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FARTHING_DATA", raising=False)
    assert locate("a.tsv").samefile(file)
    monkeypatch.chdir("/")
    assert locate(str(file)) == file
    with pytest.raises(DataMissing, match=r"^a\.tsv was asked.*set FARTHING_DATA to the folder"):
        locate("a.tsv")
    monkeypatch.setenv("FARTHING_DATA", str(tmp_path))
    assert locate("a.tsv") == file
    with pytest.raises(DataMissing, match=r"b\.tsv.*correct the name, or FARTHING_DATA"):
        locate("b.tsv")
    monkeypatch.setenv("FARTHING_DATA", "/nowhere/at/all")
    with pytest.raises(DataMissing, match="'/nowhere/at/all', which is not a folder"):
        locate("a.tsv")
