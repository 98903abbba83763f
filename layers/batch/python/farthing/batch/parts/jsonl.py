"""Rows as JSON lines; a number is what the answer over HTTP says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.batch.parts.ranking import best_labels
from farthing.storage.files import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from farthing.batch.job import Job
    from farthing.inference.heads import Floats

# Lists of numbers as Python's objects take 30 times a vector's memory: few rows at a time.
ROWS_AT_ONCE = 256


class Label(msgspec.Struct):
    label: str
    score: float


class Labelled(msgspec.Struct):
    id: str
    label: str
    score: float


class Ranked(msgspec.Struct):
    id: str
    labels: list[Label]


class Embedded(msgspec.Struct):
    id: str
    embedding: list[float]


class JsonLinesPart:
    """`{"id", "label", "score"}`, or `labels`, a list of both, where more than one is asked for;
    `{"id", "embedding"}` for vectors.
    """

    def __init__(self, job: Job, labels: Sequence[str], _dims: int, file: Path) -> None:
        self._top_k = job.top_k
        self._labels = labels if job.task == "classify" else None
        self._encoder = msgspec.json.Encoder()
        self._path = file
        with told(file):
            file.write_bytes(b"")

    def add(self, ids: Sequence[str], values: Floats) -> None:
        with told(self._path), self._path.open("ab") as file:
            for start in range(0, len(ids), ROWS_AT_ONCE):
                end = start + ROWS_AT_ONCE
                rows = self._rows(ids[start:end], values[start:end])
                file.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """Nothing is held open."""

    def _rows(self, ids: Sequence[str], values: Floats) -> Iterable[msgspec.Struct]:
        labels = self._labels
        if labels is None:
            return list(map(Embedded, ids, values.tolist()))
        places, scores = best_labels(values, self._top_k)
        if self._top_k == 1:
            names = [labels[place] for place in places[:, 0].tolist()]
            return list(map(Labelled, ids, names, scores[:, 0].tolist()))
        return [
            Ranked(id_, [Label(labels[place], score) for place, score in zip(*row, strict=True)])
            for id_, *row in zip(ids, places.tolist(), scores.tolist(), strict=True)
        ]
