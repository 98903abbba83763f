"""How often each document was found, read from a file that a log was made into."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.search.errors import CatalogueInvalid

if TYPE_CHECKING:
    from pathlib import Path


class Line(msgspec.Struct, frozen=True):
    """A line of JSON: an id, and how often it was found."""

    id: str
    hits: Annotated[int, msgspec.Meta(ge=0)] = 1


def read_hits(file: Path) -> dict[str, int]:
    """Hits by id; an id on several lines has them all. Also of a file that gzip has packed.

    A line is `{"id": "sku-1", "hits": 3}`, or an id with its count after a tab, or an id that was
    found once. Raises `CatalogueInvalid` naming the line that is none of these.
    """
    found: Counter[str] = Counter()
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                text = line.rstrip("\r\n")
                if text:
                    entry = _entry(text, file, number)
                    found[entry.id] += entry.hits
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CatalogueInvalid(
            f"{file} cannot be read as lines of text ({error}). Give JSON lines or TSV, in UTF-8."
        ) from None
    return dict(found)


def _entry(text: str, file: Path, number: int) -> Line:
    try:
        if text.startswith("{"):
            return msgspec.json.decode(text, type=Line)
        id_, _, hits = text.partition("\t")
        return msgspec.convert({"id": id_, "hits": int(hits or 1)}, Line)
    except (msgspec.MsgspecError, ValueError):
        raise CatalogueInvalid(
            f"Line {number} of {file} is no id with its hits. Write "
            '{"id": "sku-1", "hits": 3}, or the id, a tab and the number.'
        ) from None
