"""Vectors by text, kept on disk: whatever set a text is in, it is computed once."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from farthing.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FloatArray = npt.NDArray[np.float32]


class CacheUnusable(StartupError):
    """The file with kept vectors cannot be read or written."""


class VectorStore:
    """A SQLite file of float16 vectors keyed by the sha256 of their text; one per encoder.

    :raises CacheUnusable: from every method, where the disk is full or the file is damaged.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, texts: Sequence[str]) -> dict[str, FloatArray]:
        """The vectors of those texts that have one, as float32."""
        with self._opened() as database:
            found = {}
            for text in texts:
                row = database.execute(
                    "SELECT vector FROM vectors WHERE text = ?", (_key(text),)
                ).fetchone()
                if row is not None:
                    found[text] = np.frombuffer(row[0], dtype=np.float16).astype(np.float32)
        return found

    def write(self, texts: Sequence[str], vectors: FloatArray) -> None:
        """Keeps one vector per text, all or none of them."""
        rows = [
            (_key(text), vector.astype(np.float16).tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._opened() as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._file, timeout=60)) as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS vectors "
                    "(text BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
                )
                yield database
        except (sqlite3.Error, OSError) as error:
            raise CacheUnusable(
                f"The vectors kept in {self._file} cannot be read or written ({error}); free some "
                "room or name another folder with --cache. If the file is damaged, delete it."
            ) from None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
