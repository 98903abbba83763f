"""JSON lines: an object on each line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import check_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.inputs.rows import Window
    from farthing.batch.job import Job

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class JsonLines:
    """The keys of a job in the records of a file.

    :raises InputInvalid: for a first line whose object lacks a key or has it twice, and for a file
        that is one array.
    """

    blanks = b" \t\r\n"

    def __init__(self, file: str, first: bytes, job: Job) -> None:
        self._text, self._id = job.text_column, job.id_column
        if first.lstrip().startswith(b"["):
            raise InputInvalid(
                f"{file} is one JSON array, and JSON lines were asked for. Write one object on "
                "each line."
            )
        keys = _keys(first)
        if keys is not None:
            wanted = [name for name in (self._text, self._id) if name is not None]
            check_columns(file, keys, wanted)

    def parse(self, numbers: Sequence[int], records: Sequence[bytes], window: Window) -> None:
        """Adds the records' rows to the window."""
        for number, record in zip(numbers, records, strict=True):
            try:
                found = _decode(record)
            except UnicodeDecodeError:
                window.reject(number, None, "the line is not UTF-8")
                continue
            except (msgspec.DecodeError, RecursionError):
                window.reject(number, None, "the line is not a JSON object")
                continue
            id_ = "" if self._id is None else _plain(found.get(self._id, ""))
            text = _plain(found.get(self._text))
            if text is not None:
                window.add(number, id_ or "", text)
            elif self._text not in found:
                window.reject(number, id_, f"the line lacks the key {self._text!r}")
            else:
                window.reject(number, id_, f"the key {self._text!r} holds no text")


def _plain(value: Any) -> str | None:
    """A value as text; None for what is none: null, a list, an object."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool | int | float) else None


def _keys(line: bytes) -> list[str] | None:
    """The keys as they are written, twice where they stand twice; None if this is no object."""
    try:
        _decode(line)
        keys: list[str] = json.loads(line, object_pairs_hook=lambda pairs: [k for k, _ in pairs])
    except (ValueError, RecursionError):
        return None
    return keys
