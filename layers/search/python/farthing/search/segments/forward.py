"""The terms of each row, in order and by number: what a ranker counts without reading texts."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from farthing.search.segments.arrays import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TERMS_FILE = "terms.npy"
STARTS_FILE = "term-starts.npy"
LENGTHS_FILE = "term-counts.npy"
FILES = (TERMS_FILE, STARTS_FILE, LENGTHS_FILE)
# A ranker reads the terms of a hundred candidates; those of a whole book would take it a second.
FIELD_TERMS_MAX = 512


class Forward(NamedTuple):
    """The terms of n rows with f fields each, row by row and field by field.

    Field j of row i holds `terms[starts[i * f + j]:starts[i * f + j + 1]]`, its first
    `FIELD_TERMS_MAX` terms; `lengths`, int64[n * f], counts all that it had, as BM25 asks.
    """

    terms: NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def term_hashes(terms: Sequence[str]) -> NDArray[np.uint32]:
    """The numbers by which terms are known in every index: the CRC-32 of their UTF-8."""
    numbers = (zlib.crc32(term.encode()) for term in terms)
    return np.fromiter(numbers, np.uint32, len(terms))


class ForwardIndex:
    """What `ForwardWriter` has written to `folder`."""

    def __init__(self, folder: Path, fields: int) -> None:
        self._terms: NDArray[np.uint32] = mapped(folder / TERMS_FILE)
        self._starts: NDArray[np.uint32] = mapped(folder / STARTS_FILE)
        self._lengths: NDArray[np.uint16] = mapped(folder / LENGTHS_FILE)
        self._fields = fields

    def of(self, rows: NDArray[np.int64]) -> Forward:
        """The terms of the rows, in the order asked for."""
        places = (rows[:, None] * self._fields + np.arange(self._fields)).ravel()
        begins = self._starts[places].astype(np.int64)
        sizes = self._starts[places + 1] - begins
        starts = np.zeros(len(places) + 1, np.int64)
        np.cumsum(sizes, out=starts[1:])
        wanted = np.repeat(begins - starts[:-1], sizes) + np.arange(starts[-1])
        return Forward(self._terms[wanted], starts, self._lengths[places].astype(np.int64))


class ForwardWriter:
    """Takes the terms of one field after the other; 4 bytes a term stay in memory."""

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}
        self._terms: list[NDArray[np.uint32]] = []
        self._sizes: list[int] = []
        self._lengths: list[int] = []

    def add(self, terms: Sequence[str]) -> None:
        kept = terms[:FIELD_TERMS_MAX]
        self._terms.append(term_hashes(kept))
        self._sizes.append(len(kept))
        self._lengths.append(len(terms))

    def finish(self, folder: Path) -> None:
        starts = np.zeros(len(self._sizes) + 1, np.uint32)
        np.cumsum(self._sizes, out=starts[1:])
        np.save(folder / TERMS_FILE, np.concatenate([np.empty(0, np.uint32), *self._terms]))
        np.save(folder / STARTS_FILE, starts)
        np.save(folder / LENGTHS_FILE, np.array(self._lengths, np.uint16))
