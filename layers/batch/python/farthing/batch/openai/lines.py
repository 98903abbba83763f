"""A batch's file: one request a line, as OpenAI's batch API takes them.

{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "…"}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METHOD: Final = "POST"
CUSTOM_ID_CHARS_MAX: Final = 512

Count = Annotated[int, msgspec.Meta(ge=0)]


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """A shard: bytes `start` to `end` of the file, whose first line has the number `first`."""

    number: Count
    start: Count
    end: Count
    first: Count
    requests: Count


class Line(NamedTuple):
    """`number` counts from 1; `raw` is None where the line is longer than lines may be."""

    number: int
    start: int
    end: int
    raw: bytes | None


class Texts(msgspec.Struct):
    """What of a request's body says how much work it is, and for which model."""

    model: Any = None
    input: Any = None
    inputs: Any = None

    @property
    def count(self) -> int:
        texts = self.inputs if self.input is None else self.input
        return len(texts) if isinstance(texts, list) else 1


class Asked(msgspec.Struct):
    """A line as it was sent, whatever it holds."""

    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = msgspec.Raw(b"null")

    def read_texts(self) -> Texts | None:
        """None where the body is no object."""
        try:
            return msgspec.json.decode(self.body, type=Texts)
        except msgspec.ValidationError:
            return None


class Asking(NamedTuple):
    """A request of a shard, and the number of its line."""

    number: int
    custom_id: str
    body: bytes


def split_lines(
    pieces: Iterable[bytes], bytes_max: int, *, number: int = 1, start: int = 0
) -> Iterator[Line]:
    """The lines of a file, blank ones left out; of one that is too long nothing is kept.

    `number` and `start` are those of the first line; `end` is behind the line's own end.
    """
    held = bytearray()
    length = 0
    for piece in pieces:
        position = 0
        while (found := piece.find(b"\n", position)) >= 0:
            length += found + 1 - position
            _keep(held, piece[position:found], bytes_max)
            yield from _line(held, number, start, start + length, bytes_max)
            number, start, length, position = number + 1, start + length, 0, found + 1
            held.clear()
        length += len(piece) - position
        _keep(held, piece[position:], bytes_max)
    yield from _line(held, number, start, start + length, bytes_max)


def read_line(raw: bytes) -> Asked | None:
    """What the line asks; None where it is no JSON object."""
    try:
        asked = msgspec.json.decode(raw, type=Asked)
        # Half of a surrogate pair can be read, and not written again.
        msgspec.json.encode(asked.custom_id)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return asked


def read_slice(pieces: Iterable[bytes], piece: Slice, bytes_max: int) -> list[Asking]:
    """The requests of a shard, which were found to be such; `pieces` begin with its first byte."""
    found = []
    for line in split_lines(pieces, bytes_max, number=piece.first, start=piece.start):
        asked = None if line.raw is None else read_line(line.raw)
        if asked is not None:
            found.append(Asking(line.number, asked.custom_id, bytes(asked.body)))
        if line.end >= piece.end:
            break
    return found


def _keep(held: bytearray, part: bytes, bytes_max: int) -> None:
    """As much of a line as shows that it is too long."""
    held += part[: bytes_max + 1 - len(held)]


def _line(held: bytearray, number: int, start: int, end: int, bytes_max: int) -> Iterator[Line]:
    if len(held) > bytes_max:
        yield Line(number, start, end, None)
    elif held.strip():
        yield Line(number, start, end, bytes(held))
