"""A log's lines, whichever way they come: CloudWatch's answers, subscriptions, exported files."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import gzip
import json
import re
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec

from farthing.ledger.settlement.faults import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farthing.ledger.settlement.faults import Faults

LINE_MAX_CHARS = 1_100_000
DOCUMENT_MAX_BYTES = 256 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"
MS_PER_S = 1000
# Lambda's own log groups name the function; in others the stream does:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html
OWN_GROUP = re.compile(r"^/aws/lambda/(?P<function>[^/]+)$")
SHARED_STREAM = re.compile(r"^\d{4}/\d\d/\d\d/(?P<function>[^\[/]+)\[")
# ISO 8601 as the runtime writes it, or as Lambda's emulator does: 22 Nov 2026 05:57:55,212
MOMENT = re.compile(
    r"\b(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|\b(?P<words>\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d),(?P<ms>\d{3})\b"
)


class LogEvent(msgspec.Struct, frozen=True):
    """One line. `id` is the log's own name of it, "" if it has none; `function` may be unknown.

    `place` says where to look: the file and line, or the stream. `at_ms` is the line's own time,
    `near_ms` that of a line before it.
    """

    message: str
    place: str
    function: str = ""
    at_ms: int | None = None
    near_ms: int = 0
    id: str = ""


def function_of(group: str, stream: str) -> str:
    """The function that writes to a log group's stream; "" where neither name tells."""
    found = OWN_GROUP.match(group) or SHARED_STREAM.match(stream)
    return found["function"] if found else ""


def from_answer(group: str, events: Iterable[dict[str, Any]]) -> Iterator[LogEvent]:
    """The events of an answer to FilterLogEvents, or of a subscription's message."""
    for event in events:
        stream = str(event.get("logStreamName", ""))
        yield LogEvent(
            message=str(event.get("message", "")),
            place=stream,
            function=function_of(group, stream),
            at_ms=event.get("timestamp"),
            id=str(event.get("eventId") or event.get("id") or ""),
        )


def from_subscription(data: str) -> Iterator[LogEvent]:
    """The events of a subscription's payload: base64 of gzip of JSON. Raises `Malformed`."""
    try:
        document = json.loads(gzip.decompress(base64.b64decode(data, validate=True)))
    except (ValueError, binascii.Error, OSError, EOFError, zlib.error):
        raise Malformed("a subscription's data is no base64 of gzip of JSON") from None
    yield from _expanded(document)


def from_file(path: Path, faults: Faults, function: str = "") -> Iterator[LogEvent]:
    """The events of a log file: text, JSON lines or CloudWatch's JSON; plain or gzip.

    A file that ends too early is read as far as it goes, and `faults` says so. Raises `OSError`
    where it cannot be opened.
    """
    near_ms = int(path.stat().st_mtime * MS_PER_S)
    with _open(path) as file:
        number = 0
        try:
            for number, message in enumerate(_lines(file), start=1):
                place = f"{path.name}:{number}"
                try:
                    document = _document(message)
                    if document is not None:
                        yield from _expanded(document)
                        continue
                except Malformed as error:
                    faults.add(place, error)
                    continue
                at_ms = _moment_ms(message)
                near_ms = at_ms or near_ms
                yield LogEvent(message, place, function, at_ms, near_ms)
        except (EOFError, zlib.error, OSError):
            faults.add(f"{path.name}:{number + 1}", "the file ends before its compression does")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path)) if is_gzip else path.open("rb")


def _lines(file: IO[bytes]) -> Iterator[str]:
    """The lines; a JSON document that was printed over several counts as one."""
    first = file.readline(LINE_MAX_CHARS)
    if first.strip() in {b"{", b"["}:
        yield (first + file.read(DOCUMENT_MAX_BYTES)).decode("utf-8", "replace")
        return
    line = first
    while line:
        yield line.decode("utf-8", "replace").rstrip("\r\n")
        line = file.readline(LINE_MAX_CHARS)


def _document(message: str) -> Any:
    """CloudWatch's JSON if the line is one that holds events; None for any other line."""
    if not message.startswith(("{", "[")) or not any(
        word in message for word in ('"awslogs"', '"logEvents"', '"events"')
    ):
        return None
    try:
        document = json.loads(message)
    except ValueError:
        raise Malformed("JSON that is cut off or broken") from None
    names = {"awslogs", "logEvents", "events"}
    return document if isinstance(document, dict) and names & document.keys() else None


def _expanded(document: dict[str, Any]) -> Iterator[LogEvent]:
    match document:
        case {"awslogs": {"data": str(data)}}:
            yield from from_subscription(data)
        case {"messageType": "CONTROL_MESSAGE"}:
            return
        case {"logGroup": str(group), "logStream": str(stream), "logEvents": list(events)}:
            yield from from_answer(group, [{"logStreamName": stream} | one for one in events])
        case {"events": list(events)}:
            yield from from_answer(str(document.get("logGroupName", "")), events)
        case _:
            raise Malformed("JSON with other members than CloudWatch's")


def _moment_ms(message: str) -> int | None:
    found = MOMENT.search(message[:200])
    if found is None:
        return None
    try:
        if found["iso"]:
            moment = dt.datetime.fromisoformat(found["iso"])
        else:
            moment = dt.datetime.strptime(found["words"], "%d %b %Y %H:%M:%S").astimezone()
    except ValueError:
        return None
    return int(moment.timestamp() * MS_PER_S) + int(found["ms"] or 0)
