"""Files of rows in every format and packing, and the jobs that read them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import zstandard
from pyarrow import parquet

from farthing.batch.inputs import Reader, Rows, find_inputs, plan_shards
from farthing.batch.job import Job, identify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Pair = tuple[str, str]  # an id and a text

FORMS = ("csv", "tsv", "jsonl", "parquet")
PACKED = ("csv", "tsv", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz", "csv.zst", "tsv.zst", "jsonl.zst")
ENDINGS = (*PACKED, "parquet")


def job_of(*uris: str | Path, shard_rows: int = 3, **stated: Any) -> Job:
    """A job on these files, whose columns are `id` and `text` unless stated."""
    wanted: dict[str, Any] = {
        "id": "",
        "task": "classify",
        "model": "m",
        "bundle_digest": "sha256:" + "0" * 64,
        "inputs": find_inputs([str(uri) for uri in uris]),
        "text_column": "text",
        "id_column": "id",
        "out": "out",
        "shard_rows": shard_rows,
        "tenant": "local",
        "created_ms": 0,
    }
    return identify(Job(**{**wanted, **stated}))


def read_all(job: Job, window_rows: int = 2) -> list[Rows]:
    """Every shard's rows, its windows put together."""
    found = []
    with Reader(job) as reader:
        for shard in plan_shards(job).shards:
            whole = Rows([], [], [], [])
            for window in reader.rows(shard, window_rows):
                assert len(window.texts) + len(window.rejected) <= window_rows
                for column, more in zip(whole, window, strict=True):
                    column.extend(more)  # type: ignore[arg-type]
            assert len(whole.texts) + len(whole.rejected) == shard.rows
            found.append(whole)
    return found


def flat(shards: Sequence[Rows]) -> list[tuple[int, str, str]]:
    """All rows that are to be scored: number, id, text."""
    return [
        row for shard in shards for row in zip(shard.numbers, shard.ids, shard.texts, strict=True)
    ]


def refused(shards: Sequence[Rows]) -> list[tuple[int, str | None, str]]:
    """All rejected rows: number, id, reason."""
    return [(row.row, row.id, row.reason) for shard in shards for row in shard.rejected]


def write(file: Path, pairs: Sequence[Pair], group_rows: int = 4) -> Path:
    """A file of these rows; its ending says how. `group_rows` is for Parquet."""
    form, _, packing = file.name.partition(".")[2].partition(".")
    if form == "parquet":
        columns = {"id": [pair[0] for pair in pairs], "text": [pair[1] for pair in pairs]}
        parquet.write_table(pa.table(columns), file, row_group_size=group_rows)
        return file
    file.write_bytes(packed(content_of(form, pairs), packing))
    return file


def content_of(form: str, pairs: Sequence[Pair]) -> bytes:
    """The rows as CSV, TSV or JSON lines."""
    if form == "jsonl":
        lines = [json.dumps({"id": id_, "n": 1, "text": text}) for id_, text in pairs]
        return "".join(line + "\n" for line in lines).encode()
    if form == "tsv":
        return "".join("\t".join(pair) + "\n" for pair in [("id", "text"), *pairs]).encode()
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("id", "text"), *pairs])
    return out.getvalue().encode()


def packed(content: bytes, packing: str) -> bytes:
    """The bytes as `.gz`, `.zst` or as they are."""
    if packing == "gz":
        return gzip.compress(content, 1)
    return zstandard.ZstdCompressor().compress(content) if packing == "zst" else content
