"""Rows as Parquet: groups of a fixed size, and nothing in it that depends on when or where."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from farthing.batch.parts.ranking import best_labels
from farthing.storage.files import told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.batch.job import Job
    from farthing.inference.heads import Floats

GROUP_ROWS = 8192


class ParquetPart:
    """Columns `id`, `label`, `score`, or `labels`, a list of both, where more than one is asked
    for; `id`, `embedding` for vectors. Scores and vectors are float32.
    """

    def __init__(self, job: Job, labels: Sequence[str], dims: int, file: Path) -> None:
        self._job = job
        self._labels = pa.array(labels, pa.string())
        self._schema = schema_of(job, dims)
        self._ids: list[str] = []
        self._values: list[Floats] = []
        self._path = file
        with told(file):
            self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def add(self, ids: Sequence[str], values: Floats) -> None:
        self._ids += ids
        self._values.append(values)
        if len(self._ids) >= GROUP_ROWS:
            self._write_groups(GROUP_ROWS)

    def close(self) -> None:
        if self._ids:
            self._write_groups(1)
        with told(self._path):
            self._writer.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._writer.close()
        # Or it would try again, and fail loudly, when it is collected.
        self._writer.is_open = False

    def _write_groups(self, rows_min: int) -> None:
        """Writes whole groups, and what is left of at least `rows_min` rows."""
        values = np.concatenate(self._values)
        start = 0
        while len(self._ids) - start >= rows_min:
            end = min(start + GROUP_ROWS, len(self._ids))
            group = self._group(self._ids[start:end], values[start:end])
            with told(self._path):
                self._writer.write_batch(group)
            start = end
        self._ids, self._values = self._ids[start:], [values[start:].copy()]

    def _group(self, ids: Sequence[str], values: Floats) -> pa.RecordBatch:
        columns: list[pa.Array] = [pa.array(ids, pa.string())]
        if self._job.task == "embed":
            flat = pa.array(values.ravel(), pa.float32())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        else:
            places, scores = best_labels(values, self._job.top_k)
            labels = self._labels.take(pa.array(places.ravel()))
            flat = pa.array(scores.ravel(), pa.float32())
            if self._job.top_k == 1:
                columns += [labels, flat]
            else:
                pairs = pa.StructArray.from_arrays([labels, flat], ["label", "score"])
                offsets = np.arange(0, len(pairs) + 1, self._job.top_k, dtype=np.int32)
                columns.append(pa.ListArray.from_arrays(pa.array(offsets), pairs))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def schema_of(job: Job, dims: int) -> pa.Schema:
    """The columns of the job's output."""
    fields: dict[str, pa.DataType] = {"id": pa.string()}
    if job.task == "embed":
        fields["embedding"] = pa.list_(pa.float32(), dims)
    elif job.top_k == 1:
        fields |= {"label": pa.string(), "score": pa.float32()}
    else:
        pair = pa.struct({"label": pa.string(), "score": pa.float32()})
        fields["labels"] = pa.list_(pair)
    return pa.schema(fields)
