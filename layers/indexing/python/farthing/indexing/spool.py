"""Vectors of a segment that is not finished yet, so that a killed build does not embed twice."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Halves = NDArray[np.float16]

HEAD = struct.Struct("<II")  # rows of a batch, CRC-32 of its vectors


class VectorSpool:
    """A file of float16 vectors, batch by batch; what a crash left half-written is dropped."""

    def __init__(self, file: Path, dims: int) -> None:
        self._path = file
        self._row_bytes = 2 * dims
        self.batches = 0
        whole_bytes = 0
        file.touch()
        for vectors in self.read():
            self.batches += 1
            whole_bytes += HEAD.size + vectors.nbytes
        self._file = file.open("r+b")
        self._file.truncate(whole_bytes)
        self._file.seek(whole_bytes)

    def read(self) -> Iterator[Halves]:
        """The batches that are there and whole, [texts, dims] each, in order."""
        with self._path.open("rb") as file:
            while len(head := file.read(HEAD.size)) == HEAD.size:
                rows, checksum = HEAD.unpack(head)
                content = file.read(rows * self._row_bytes)
                if len(content) < rows * self._row_bytes or zlib.crc32(content) != checksum:
                    return
                yield np.frombuffer(content, dtype=np.float16).reshape(rows, -1)

    def append(self, vectors: Halves) -> None:
        """Keeps one more batch: past a kill of the process, not past a power cut."""
        content = vectors.tobytes()
        self._file.write(HEAD.pack(len(vectors), zlib.crc32(content)) + content)
        self._file.flush()

    def next(self, file: Path) -> None:
        """Begins a file for the next segment and removes this one's."""
        self.close()
        self._path.unlink()
        self._path = file
        self._file = file.open("w+b")

    def close(self) -> None:
        self._file.close()
