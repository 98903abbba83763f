"""What a shard of a batch came to: one file, which appears whole and is its checkpoint.

Its first line is a `Result`, and then come the lines of the batch's output file and those of its
error file. Of two workers that computed the same shard only the first one's file is kept; from it
alone come what the batch answers and what the ledger knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from farthing.billing.ledger import Entry
from farthing.billing.meter import Charge
from farthing.errors import PublishConflict
from farthing.serving.batches.store import work_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.storage import Storage

DONE: Final = "done/"
Count = Annotated[int, msgspec.Meta(ge=0)]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`charge` is what the shard's answers add up to, and `entry` its line of the ledger.

    A shard that was not computed any more has no entry; `ending` says why.
    """

    number: Count
    completed: Count
    failed: Count
    tokens: Count
    output_bytes: Count
    charge: Charge
    entry: Entry | None = None
    ending: Literal["cancelled", "expired"] | None = None


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """A result with the lines that go into the batch's files."""

    result: Result
    output: bytes
    errors: bytes


def keep(storage: Storage, batch_id: str, computed: Computed) -> Result:
    """The result that counts: this one, or what another worker kept first."""
    name = result_name(batch_id, computed.result.number)
    head = msgspec.json.encode(computed.result)
    try:
        content = b"\n".join((head, computed.output + computed.errors))
        storage.write(name, content, expect=None)
    except PublishConflict:
        return read_result(storage, batch_id, computed.result.number)
    return computed.result


def kept(storage: Storage, batch_id: str) -> set[int]:
    """The numbers of the shards that are done."""
    prefix = work_name(batch_id, DONE)
    return {int(name.removeprefix(prefix).split(".")[0]) for name in storage.names(prefix)}


def read_result(storage: Storage, batch_id: str, number: int) -> Result:
    """Raises `FileMissing` where the shard is not done."""
    return _open(storage, batch_id, number)[0]


def read_lines(
    storage: Storage, batch_id: str, number: int
) -> tuple[Result, Iterator[tuple[bool, bytes]]]:
    """A shard's lines in pieces: True with those of the output file, which come first."""
    result, rest, pieces = _open(storage, batch_id, number)

    def parted() -> Iterator[tuple[bool, bytes]]:
        left = result.output_bytes
        for piece in (rest, *pieces):
            if left:
                yield True, piece[:left]
            if len(piece) > left:
                yield False, piece[left:]
            left = max(0, left - len(piece))

    return result, parted()


def result_name(batch_id: str, number: int) -> str:
    return work_name(batch_id, f"{DONE}{number:05d}.jsonl")


def line_of(
    batch_id: str,
    number: int,
    custom_id: str,
    *,
    response: dict[str, Any] | None = None,
    error: dict[str, str] | None = None,
) -> bytes:
    """A line of an output or error file; `number` is that of the request's own line."""
    line = {
        "id": f"batch_req_{batch_id.partition('_')[2]}_{number}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return msgspec.json.encode(line) + b"\n"


def _open(storage: Storage, batch_id: str, number: int) -> tuple[Result, bytes, Iterator[bytes]]:
    pieces = storage.stream(result_name(batch_id, number))
    head = b""
    while b"\n" not in head:
        head += next(pieces)
    head, _, rest = head.partition(b"\n")
    return msgspec.json.decode(head, type=Result), rest, pieces
