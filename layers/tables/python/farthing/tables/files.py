"""A file's named columns, whatever its format: the name's ending tells which."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from farthing.tables import delimited, json_lines, parquet
from farthing.tables.chunk import DataInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farthing.tables.chunk import Chunk

    Reader = Callable[[Path, Sequence[str]], Iterator[Chunk]]

READERS: Mapping[str, Reader] = {
    ".csv": partial(delimited.chunks, quoted=True),
    ".tsv": partial(delimited.chunks, quoted=False),
    ".jsonl": json_lines.chunks,
    ".ndjson": json_lines.chunks,
    ".parquet": parquet.chunks,
}


def chunks(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    """The named columns of a file, in pieces of a few megabytes.

    :raises DataInvalid: if the ending is unknown, and for everything that a format refuses.
    """
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    reader = READERS.get(ending.lower())
    if reader is None or (path.suffix == ".gz" and ending.lower() == ".parquet"):
        raise DataInvalid(
            f"{path.name} was asked for, and its ending names no format that can be read: "
            ".csv, .tsv, .jsonl and .ndjson, each also as .gz, and .parquet. "
            "Convert or rename the file."
        )
    yield from reader(path, columns)
