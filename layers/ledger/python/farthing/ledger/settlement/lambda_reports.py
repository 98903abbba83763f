"""Lambda's REPORT lines, as text or as JSON telemetry, read by key and not by order.

    REPORT RequestId: <id>\tDuration: 395.99 ms\tBilled Duration: 662 ms\tMemory Size: 512 MB\t…
    {"time": …, "type": "platform.report", "record": {"requestId": …, "metrics": {…}, …}}

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report (the
metrics are floats there). AWS's emulator writes the text as well, with another meaning: what it
calls init is next to nothing, and the true one is within the first Duration.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from farthing.billing.ledger import Record
from farthing.ledger.settlement.faults import Malformed
from farthing.ledger.settlement.numbers import duration_ns, read_json, whole_mb, whole_ms

if TYPE_CHECKING:
    from farthing.ledger.settlement.events import LogEvent

WORD = "REPORT RequestId:"
TYPE = "platform.report"
# Longer names first, so that "Billed Duration" is not taken for "Duration".
PAIR = re.compile(
    r"(?P<key>Billed Restore Duration|Restore Duration|Billed Duration|Init Duration|Duration"
    r"|Memory Size|Max Memory Used|RequestId|Status):\s*(?P<value>\S+)"
)
MS_PER_S = 1000


def record_of(event: LogEvent, source: str) -> Record | None:
    """The record of a REPORT line; None for any other line.

    Raises `Malformed` for a REPORT that lacks what a bill needs. The event's function and time
    stand in the record as they are: "" and 0 where the log does not tell.
    """
    if TYPE in event.message and event.message.lstrip().startswith("{"):
        return _telemetry(event, source)
    place = event.message.find(WORD)
    return None if place < 0 else _text(event, source, event.message[place:])


def _text(event: LogEvent, source: str, text: str) -> Record:
    found: dict[str, str] = {}
    for pair in PAIR.finditer(text):
        if pair["key"] in found:
            raise Malformed(f"{pair['key']} stands twice")
        found[pair["key"]] = pair["value"]
    return _record(
        event,
        source,
        request_id=found.get("RequestId"),
        duration=found.get("Duration"),
        billed=found.get("Billed Duration"),
        init=found.get("Init Duration"),
        restore=found.get("Restore Duration"),
        memory=found.get("Memory Size"),
        memory_used=found.get("Max Memory Used"),
        status=found.get("Status", "success"),
        at_ms=event.at_ms or 0,
    )


def _telemetry(event: LogEvent, source: str) -> Record | None:
    document = read_json(event.message)
    if document.get("type") != TYPE:
        return None
    record = document.get("record")
    metrics = record.get("metrics") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(metrics, dict):
        raise Malformed("a platform.report without metrics")
    return _record(
        event,
        source,
        request_id=record.get("requestId"),
        duration=metrics.get("durationMs"),
        billed=metrics.get("billedDurationMs"),
        init=metrics.get("initDurationMs"),
        restore=metrics.get("restoreDurationMs"),
        memory=metrics.get("memorySizeMB"),
        memory_used=metrics.get("maxMemoryUsedMB"),
        status=str(record.get("status", "success")),
        at_ms=event.at_ms or _time_ms(document.get("time")),
    )


def _record(
    event: LogEvent,
    source: str,
    *,
    request_id: object,
    duration: Any,
    billed: Any,
    init: Any,
    restore: Any,
    memory: Any,
    memory_used: Any,
    status: str,
    at_ms: int,
) -> Record:
    if not isinstance(request_id, str) or not request_id:
        raise Malformed("RequestId is missing")
    lasted_ns = duration_ns(duration, "Duration")
    return Record(
        source=source,
        function=event.function,
        request_id=request_id,
        at_ms=at_ms,
        # Managed Instances state no billed time: they bill the instance.
        billed_ms=whole_ms(duration if billed is None else billed, "Billed Duration"),
        duration_ns=lasted_ns,
        init_ns=0 if init is None else duration_ns(init, "Init Duration"),
        restore_ns=None if restore is None else duration_ns(restore, "Restore Duration"),
        memory_mb=whole_mb(memory, "Memory Size"),
        max_memory_mb=None
        if memory_used is None
        else whole_mb(memory_used, "Memory Used", least=0),
        status=status[:40],
    )


def _time_ms(text: object) -> int:
    try:
        return int(dt.datetime.fromisoformat(str(text)).timestamp() * MS_PER_S)
    except (ValueError, OverflowError):
        return 0
