"""Files that no job can be made of are refused in a sentence, before anything is scored."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pyarrow as pa
import pytest
import zstandard
from fsspec.implementations.local import LocalFileOpener
from pyarrow import parquet

from farthing.batch.errors import InputChanged, InputInvalid
from farthing.batch.inputs import Reader, plan_shards
from farthing.errors import SettingsError, StorageUnavailable
from tests.batch.files import content_of, flat, job_of, read_all, refused, write

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = [(str(row), f"secret text {row}") for row in range(2_000)]
CSV = content_of("csv", PAIRS)
GZIP = gzip.compress(CSV)
ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress(CSV)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv.gz", GZIP[:-1], "cannot be unpacked: it ends too early"),
        ("a.csv.gz", GZIP[: len(GZIP) // 2], "cannot be unpacked: it ends too early"),
        ("a.csv.gz", GZIP + GZIP[:-9], "cannot be unpacked: it ends too early"),
        ("a.csv.gz", flipped(GZIP, -6), "cannot be unpacked: it is damaged"),
        ("a.csv.gz", CSV, "cannot be unpacked: it is damaged, or packed in another way"),
        ("a.csv.gz", b"", "has none. Give a file with rows"),
        ("a.csv.zst", ZSTD[:-1], "cannot be unpacked: it ends too early"),
        ("a.csv.zst", ZSTD + ZSTD[: len(ZSTD) // 2], "cannot be unpacked: it ends too early"),
        ("a.csv.zst", flipped(ZSTD, -2), "cannot be unpacked: it is damaged"),
        ("a.csv.zst", GZIP, "cannot be unpacked: it is damaged, or packed in another way"),
        ("a.csv", b"", "has none. Give a file with rows"),
        ("a.csv", b"\r\n\n", "has none. Give a file with rows"),
        ("a.csv", b"id,text\r\n\r\n", "has none. Give a file with rows"),
        ("a.jsonl", b" \n\t\n", "has none. Give a file with rows"),
        ("a.csv", b"id,title\n1,a\n", "its column 'text' and has the columns id, title"),
        ("a.tsv", b"text\ttitle\n1\ta\n", "its column 'id' and has the columns text, title"),
        ("a.jsonl", b'{"id": 1}\n', "its column 'text' and has the columns id"),
        ("a.csv", b"id,text,text\n1,a,b\n", "has the column 'text' 2 times"),
        ("a.jsonl", b'{"id": {"id": 1}, "text": "a", "id": 2}\n', "has the column 'id' 2 times"),
        ("a.jsonl", b'[{"id": 1, "text": "a"}]', "is one JSON array"),
        ("a.csv", CSV.decode().encode("utf-16"), "is UTF-16 or UTF-32. Save it as UTF-8"),
        ("a.csv", CSV.decode().encode("utf-32"), "is UTF-16 or UTF-32. Save it as UTF-8"),
        ("a.csv", CSV.decode().encode("utf-16-le"), "its header is not. Save the file as UTF-8"),
        ("a.csv", "id,größe\n1,a\n".encode("latin-1"), "its header is not. Save the file as UTF-8"),
        ("a.csv", CSV.replace(b"\r\n", b"\r"), "lines that end in a carriage return alone"),
        ("a.csv", b'id,text\n1,a\n2,"open\n3,b\n', "a quote in its row 3 is not closed"),
        ("a.csv", b"x" * 5_000_000 + b"\n1,a\n", "a header longer than 4 MB"),
        ("a.parquet", CSV, "cannot be read as Parquet"),
        ("a.parquet", b"", "cannot be read as Parquet"),
        ("a.xlsx", CSV, "its ending names no format that can be read: .csv, .tsv"),
        ("a.parquet.gz", GZIP, "its ending names no format that can be read"),
        ("csv", CSV, "its ending names no format that can be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputInvalid, match=why) as caught:
        plan_shards(job_of(file))
    said = str(caught.value)
    assert name in said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize("broken", ["footer", "page", "length", "type", "rows"])
def test_broken_parquet_is_refused(tmp_path: Path, broken: str) -> None:
    file = write(tmp_path / "rows.parquet", PAIRS, group_rows=500)
    content = file.read_bytes()
    if broken == "footer":
        begins = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        file.write_bytes(content[:begins] + bytes(20) + content[begins + 20 :])
    elif broken == "page":
        file.write_bytes(content[:300] + random.Random(7).randbytes(3_000) + content[3_300:])
    elif broken == "length":
        file.write_bytes(content[:-10])
    elif broken == "type":
        parquet.write_table(pa.table({"id": ["1"], "text": [["a", "list"]]}), file)
    else:
        parquet.write_table(pa.table({"id": ["1"], "text": ["a"]}).slice(1), file)
    with pytest.raises(InputInvalid, match=r"^rows\.parquet .*\.$"):
        plan_shards(job_of(file))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputInvalid, match=r"is a directory.*by a pattern: '.*/folder/\*\.csv'"):
        job_of(tmp_path / "folder")
    with pytest.raises(InputInvalid, match="is no regular file"):
        job_of(tmp_path / "pipe.csv")
    with pytest.raises(InputInvalid, match="is not there"):
        job_of(tmp_path / "absent.csv")
    with pytest.raises(InputInvalid, match="no file matches it"):
        job_of(tmp_path / "*.csv.gz")
    with pytest.raises(InputInvalid, match="addresses of the kind ftp://"):
        job_of("ftp://host/rows.csv")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", PAIRS)
    job = job_of(file)
    # Root may read everything, so the refusal is the file system's here.
    with (
        patch("fsspec.implementations.local.open", side_effect=PermissionError, create=True),
        pytest.raises(InputInvalid, match="may not be read with the credentials"),
    ):
        plan_shards(job)


def test_gcs_names_what_must_be_installed_and_oss_what_must_be_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("FC_REGION", raising=False)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputInvalid, match=r"Install farthing\[batch-gcs\]"):
        job_of("gs://bucket/rows.csv")
    with pytest.raises(SettingsError, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
        job_of("oss://bucket/rows.csv?region=cn-hangzhou")
    with pytest.raises(SettingsError, match=r"\?region=REGION"):
        job_of("oss://bucket/rows.csv")


def rewritten(file: Path) -> None:
    # A disk's clock ticks some 250 times a second.
    time.sleep(0.02)
    file.write_bytes(file.read_bytes().replace(b"text 1", b"TEXT 1"))


def appended(file: Path) -> None:
    with file.open("ab") as more:
        more.write(b"9,more\r\n")


def replaced(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    other.replace(file)


@pytest.mark.parametrize("change", [rewritten, appended, replaced, Path.unlink])
def test_a_file_that_changes_is_told_before_between_and_amid_its_shards(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    def planned(name: str) -> tuple[Path, Reader, list[object]]:
        file = write(tmp_path / name, PAIRS)
        job = job_of(file, shard_rows=700)
        return file, Reader(job), list(plan_shards(job).shards)

    file, reader, shards = planned("before.csv")
    change(file)
    with reader, pytest.raises(InputChanged, match=r"before\.csv has changed since"):
        next(reader.rows(shards[0], 64))
    file, reader, shards = planned("between.csv")
    with reader:
        assert sum(len(rows.texts) for rows in reader.rows(shards[0], 64)) == 700
        change(file)
        with pytest.raises(InputChanged):
            list(reader.rows(shards[1], 64))
    file, reader, shards = planned("amid.csv")
    with reader:
        rows = reader.rows(shards[0], 64)
        next(rows)
        change(file)
        with pytest.raises(InputChanged):
            list(rows)


def test_a_file_that_changes_while_it_is_planned_is_told(tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.csv.gz"):
        file = write(tmp_path / name, PAIRS)
        job = job_of(file)

        def cut(_read: int, _total: int, file: Path = file) -> None:
            os.truncate(file, file.stat().st_size // 2)

        with pytest.raises(InputChanged):
            plan_shards(job, cut)


def test_a_packed_file_that_is_cut_while_it_is_read_has_changed(tmp_path: Path) -> None:
    pairs = [(str(row), os.urandom(500).hex()) for row in range(4_000)]
    job = job_of(write(tmp_path / "rows.csv.gz", pairs), shard_rows=4_000)
    (shard,) = plan_shards(job).shards
    with Reader(job) as reader:
        rows = reader.rows(shard, 64)
        next(rows)
        os.truncate(tmp_path / "rows.csv.gz", 1_000_000)
        with pytest.raises(InputChanged):
            list(rows)


def test_a_disk_that_fails_is_not_the_files_fault(tmp_path: Path) -> None:
    job = job_of(write(tmp_path / "rows.csv", PAIRS))
    failing = OSError(5, "Input/output error")
    with (
        patch.object(LocalFileOpener, "read", side_effect=failing),
        pytest.raises(StorageUnavailable, match=r"rows\.csv cannot be read now \(Input/output"),
    ):
        plan_shards(job)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "parquet"])
def test_a_reader_goes_on_where_a_disk_failed_and_answers_again(
    tmp_path: Path, ending: str
) -> None:
    pairs = [(str(row), os.urandom(500).hex()) for row in range(4_000)]
    job = job_of(write(tmp_path / f"rows.{ending}", pairs, group_rows=1_000), shard_rows=2_000)
    first, second = plan_shards(job).shards
    with Reader(job) as reader:
        rows = reader.rows(first, 64)
        next(rows)
        failing = patch.object(LocalFileOpener, "read", side_effect=OSError(5, "failed"))
        with failing, pytest.raises(StorageUnavailable):
            list(rows)
        for shard, wanted in ((first, pairs[:2_000]), (second, pairs[2_000:])):
            again = [text for window in reader.rows(shard, 64) for text in window.texts]
            assert again == [text for _, text in wanted]


LONG = """
import sys
import time
from pathlib import Path
from tests.batch.files import flat, job_of, read_all, refused
def peak_mb():
    # Of this program alone: getrusage's begins with that of the process that started it.
    facts = Path("/proc/self/status").read_text().split()
    return int(facts[facts.index("VmHWM:") + 1]) / 1024
for name in sys.argv[2:]:
    before = peak_mb()
    found = read_all(job_of(sys.argv[1] + "/" + name))
    assert [row[2] for row in flat(found)] == ["first", "last"], name
    assert [row[2] for row in refused(found)] == ["the row is longer than 4 MB"], name
    print(peak_mb() - before)
"""


def test_a_row_of_50_mb_is_rejected_and_never_held(tmp_path: Path) -> None:
    long = b"x" * 50_000_000
    quoted = b'"' + b'","'.join([b"x" * 2_500_000] * 20) + b'"'
    contents = {
        # The first is read to warm up what reading needs.
        "warm.jsonl": b'{"id": 1, "text": "first"}\n' + b" [0" + b",0" * 2_500_000 + b"\n"
        b'{"id": 3, "text": "last"}\n',
        "long.tsv": b"id\ttext\n1\tfirst\n2\t" + long + b"\n3\tlast\n",
        "long.csv": b"id,text\n1,first\n" + quoted + b"\n3,last\n",
        "long.jsonl": b'{"id": 1, "text": "first"}\n{"id": 2, "text": "' + long + b'"}\n'
        b'{"id": 3, "text": "last"}',
        "long.csv.gz": b"id,text\n1,first\n2," + long + b"\n3,last\n",
    }
    for name, content in contents.items():
        packing = name.endswith(".gz")
        (tmp_path / name).write_bytes(gzip.compress(content, 1) if packing else content)
    ran = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path), *contents],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    grown_mb = [float(line) for line in ran.stdout.split()]
    assert len(grown_mb) == 5
    assert max(grown_mb[1:]) < 25


def test_a_text_of_50_mb_in_quotes_is_refused_as_a_quote_left_open(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'id,text\n1,a\n2,"' + b"x\n" * 25_000_000 + b'"\n3,b\n')
    with pytest.raises(InputInvalid, match="a quote in its row 3 is not closed within 4 MB"):
        plan_shards(job_of(file))


def test_a_text_of_more_than_4_mb_in_quotes_that_closes_is_a_rejected_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'id,text\n1,a\n2,"' + b"x" * (4 << 20) + b'"\n3,b\n')
    found = read_all(job_of(file))
    assert flat(found) == [(2, "1", "a"), (4, "3", "b")]
    assert refused(found) == [(3, None, "the row is longer than 4 MB")]


def test_a_row_that_was_planned_is_read_wherever_its_shard_begins(tmp_path: Path) -> None:
    # Its quote is open for 4 MB at the end of a block when its shard is read, and was for less
    # when the file was planned, whose blocks begin elsewhere.
    before = b"id,text\n1," + b"w" * (1_536 << 10) + b"\n"
    long = b"y" * (512 << 10) + b',"' + b"x" * (4_800 << 10) + b'"\n'
    file = tmp_path / "rows.csv"
    file.write_bytes(before + long + b"3,last\n")
    found = read_all(job_of(file, shard_rows=1))
    assert flat(found) == [(4, "3", "last")]
    assert [row for row, _, _ in refused(found)] == [2, 3]
