"""What shards write: rows as they are told over HTTP, and bytes that depend on the rows alone."""

from __future__ import annotations

import hashlib
import json
import resource
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st
from pyarrow import parquet

from farthing.batch.job import Input, Job
from farthing.batch.parts import part_of
from farthing.batch.parts.parquet import GROUP_ROWS
from farthing.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.inference.heads import Floats

LABELS = ("chair", "lámpara", 'the "rest"')


def job_of(out_format: str = "jsonl", task: str = "classify", top_k: int = 1) -> Job:
    wanted: dict[str, Any] = {"task": task, "out_format": out_format, "top_k": top_k}
    return Job(
        id="0" * 16,
        model="m",
        bundle_digest="0" * 64,
        inputs=(Input(uri="rows.csv", etag="1", bytes=1),),
        text_column="text",
        out="out",
        shard_rows=1,
        tenant="local",
        created_ms=0,
        **wanted,
    )


def write(
    file: Path, job: Job, ids: Sequence[str], values: Floats, cuts: Sequence[int] = ()
) -> Path:
    part = part_of(job.out_format)(job, LABELS, values.shape[1], file)
    bounds = [0, *sorted(cuts), len(ids)]
    try:
        for start, end in pairwise(bounds):
            part.add(ids[start:end], values[start:end])
        part.close()
    finally:
        part.abandon()
    return file


def scores(rows: int, dims: int = 3) -> Floats:
    return np.random.default_rng(7).random((rows, dims), dtype=np.float32)


def test_a_row_has_its_best_label_and_score(tmp_path: Path) -> None:
    values = np.array([[0.1, 0.7, 0.2], [0.05, 0.05, 0.9]], np.float32)
    lines = write(tmp_path / "part", job_of(), ["a", 'b"'], values).read_text("utf-8").splitlines()
    assert lines[0] == '{"id":"a","label":"lámpara","score":0.699999988079071}'
    assert json.loads(lines[1]) == {"id": 'b"', "label": 'the "rest"', "score": float(values[1, 2])}


@pytest.mark.parametrize("out_format", ["jsonl", "parquet"])
def test_several_labels_come_best_first_and_of_equals_the_earlier(
    out_format: str, tmp_path: Path
) -> None:
    values = np.array([[0.2, 0.4, 0.4], [0.3, 0.3, 0.3], [0.5, 0.25, 0.25]], np.float32)
    file = write(tmp_path / "part", job_of(out_format, top_k=2), ["a", "b", "c"], values)
    if out_format == "jsonl":
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    else:
        rows = parquet.read_table(file).to_pylist()
    best = [[label["label"] for label in row["labels"]] for row in rows]
    assert best == [["lámpara", 'the "rest"'], ["chair", "lámpara"], ["chair", "lámpara"]]
    assert [label["score"] for label in rows[0]["labels"]] == [float(np.float32(0.4))] * 2


def test_a_vector_is_every_component_that_the_model_gave(tmp_path: Path) -> None:
    values = scores(300, 5) - np.float32(0.5)
    ids = [f"r{row}" for row in range(300)]
    lines = write(tmp_path / "jsonl", job_of(task="embed"), ids, values).read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [row["id"] for row in told] == ids
    np.testing.assert_array_equal(np.array([row["embedding"] for row in told]), values)

    table = parquet.read_table(write(tmp_path / "pq", job_of("parquet", "embed"), ids, values))
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[5]"
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), values)


def test_a_column_of_labels_and_one_of_scores(tmp_path: Path) -> None:
    values = scores(10)
    file = write(tmp_path / "part", job_of("parquet"), [str(row) for row in range(10)], values)
    table = parquet.read_table(file)
    assert table.column_names == ["id", "label", "score"]
    assert table["label"].to_pylist() == [LABELS[row.argmax()] for row in values]
    assert table["score"].to_pylist() == values.max(axis=1).tolist()


@pytest.mark.parametrize("task", ["classify", "embed"])
@pytest.mark.parametrize("out_format", ["jsonl", "parquet"])
def test_bytes_do_not_tell_in_which_pieces_rows_came(
    task: str, out_format: str, tmp_path: Path
) -> None:
    rows = 2 * GROUP_ROWS + 100
    ids, values = [f"row-{row}" for row in range(rows)], scores(rows)
    job = job_of(out_format, task)
    whole = _sha256(write(tmp_path / "whole", job, ids, values))

    @sized(max_examples=6, deadline=None)
    @given(st.lists(st.integers(0, rows), max_size=6))
    def check(cuts: list[int]) -> None:
        assert _sha256(write(tmp_path / "cut", job, ids, values, cuts)) == whole

    check()


def test_rows_lie_in_groups_of_a_fixed_size(tmp_path: Path) -> None:
    rows = GROUP_ROWS + 1
    ids = [str(row) for row in range(rows)]
    file = write(tmp_path / "part", job_of("parquet"), ids, scores(rows), range(0, rows, 1000))
    metadata = parquet.ParquetFile(file).metadata
    sizes = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    assert sizes == [GROUP_ROWS, 1]
    assert parquet.read_table(file)["id"].to_pylist() == ids


def test_a_part_without_rows_is_empty(tmp_path: Path) -> None:
    assert write(tmp_path / "jsonl", job_of(), [], scores(0)).read_bytes() == b""
    table = parquet.read_table(write(tmp_path / "pq", job_of("parquet"), [], scores(0)))
    assert (table.num_rows, table.column_names) == (0, ["id", "label", "score"])


@pytest.mark.parametrize("out_format", ["jsonl", "parquet"])
def test_a_disk_that_takes_no_more_is_told_of(out_format: str, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ids = [hashlib.sha256(b"%d" % row).hexdigest() for row in range(20_000)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    try:
        with pytest.raises(StorageUnavailable, match=r"part cannot be written .* Free space"):
            write(tmp_path / "part", job_of(out_format), ids, scores(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
