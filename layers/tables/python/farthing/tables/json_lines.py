"""JSON lines: one object a line, UTF-8, also as .gz.

Read with msgspec and not with pyarrow's JSON reader, which guesses types block by block, drops a
missing key without a word and does not say which line it dislikes.
"""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import count
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from farthing.tables.chunk import Chunk, DataInvalid, check_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK_LINES = 8192
LINE_BYTES_MAX = 4 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def chunks(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    """The named keys of every line's object; numbers and true or false become text.

    :raises DataInvalid: for a line that is no object, lacks a key or has another kind of value.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
            yield from _read(cast("BinaryIO", file), path.name, columns)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataInvalid(
            f"{path.name} cannot be unpacked: {error}. Fetch or pack the file again."
        ) from None


def _read(file: BinaryIO, name: str, columns: Sequence[str]) -> Iterator[Chunk]:
    first, held = 1, _empty(columns)
    for number in count(1):
        line = file.readline(LINE_BYTES_MAX + 1)
        if not line:
            break
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
            _check_first(line, name, columns)
        blank = not line.strip()
        if not blank:
            values = _values(line, name, number, columns)
            for column, value in zip(held, values, strict=True):
                column.append(value)
        # A blank line ends a chunk, so that rows keep the numbers of their lines.
        if blank or len(held[0]) == CHUNK_LINES:
            yield Chunk(first, held)
            first, held = number + 1, _empty(columns)
    yield Chunk(first, held)


def _empty(columns: Sequence[str]) -> tuple[list[str | None], ...]:
    return tuple([] for _ in columns)


def _check_first(line: bytes, name: str, columns: Sequence[str]) -> None:
    if line.lstrip().startswith(b"["):
        raise DataInvalid(
            f"{name} is one JSON array; JSON lines were asked for. Write one object on each line."
        )
    try:
        keys = json.loads(line, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    except (ValueError, RecursionError):
        return  # whatever is wrong with it is said with its line number
    if isinstance(keys, list):
        check_columns(name, [str(key) for key in keys], columns)


def _values(line: bytes, name: str, number: int, columns: Sequence[str]) -> list[str | None]:
    if len(line) > LINE_BYTES_MAX:
        raise DataInvalid(
            f"{name} has a line {number} longer than {LINE_BYTES_MAX >> 20} MB. "
            "Write one object on each line."
        )
    try:
        found = _decode(line)
        return [_text(found[column]) for column in columns]
    except KeyError as missing:
        raise DataInvalid(
            f"{name} was asked for the key {missing} on every line, and line {number} lacks it. "
            "Add it, or leave that line out."
        ) from None
    except UnicodeDecodeError:
        raise DataInvalid(
            f"{name} is to be read as UTF-8, and its row {number} is not. Save the file as UTF-8."
        ) from None
    except (msgspec.DecodeError, TypeError) as error:
        raise DataInvalid(
            f"{name} is read as JSON lines, and line {number} is not one object with plain "
            f"texts in {' and '.join(columns)}: {error}. Correct that line."
        ) from None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value).lower()
    raise TypeError(f"found a {type(value).__name__}")
