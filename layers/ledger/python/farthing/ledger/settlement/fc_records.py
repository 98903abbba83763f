"""Function Compute's request logs, as Simple Log Service exports them: JSON lines.

Fields by https://help.aliyun.com/zh/sls/function-compute-3-0-log-field-details (2026-11), not tried
against the service. Values may be text or numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.billing.ledger import Record
from farthing.ledger.settlement.faults import Malformed
from farthing.ledger.settlement.numbers import duration_ns, moment_ms, read_json, whole_mb, whole_ms

if TYPE_CHECKING:
    from farthing.ledger.settlement.events import LogEvent

MS_PER_S = 1000
# When it happened, and the factor that makes milliseconds of it.
TIMES = {"invocationStartTimestamp": 1, "__time__": MS_PER_S, "time": MS_PER_S}


def record_of(event: LogEvent, source: str) -> Record | None:
    """The record of a request's line; None for any other line. Raises `Malformed`."""
    text = event.message.lstrip()
    if not text.startswith("{") or '"durationMs"' not in text or '"requestId"' not in text:
        return None
    document = read_json(text)
    if "functionName" not in document:
        return None
    request_id = document.get("requestId")
    if not isinstance(request_id, str) or not request_id:
        raise Malformed("requestId is missing")
    failed = str(document.get("hasFunctionError", "false")).lower() == "true"
    used = document.get("memoryUsageMB")
    return Record(
        source=source,
        function=str(document["functionName"]),
        request_id=request_id,
        at_ms=_at_ms(document) or event.at_ms or 0,
        billed_ms=whole_ms(document.get("durationMs"), "durationMs"),
        duration_ns=duration_ns(document.get("durationMs"), "durationMs"),
        memory_mb=whole_mb(document.get("memoryMB"), "memoryMB"),
        max_memory_mb=None if used is None else whole_mb(used, "memoryUsageMB", least=0),
        status=str(document.get("errorType") or "error")[:40] if failed else "success",
    )


def _at_ms(document: dict[str, Any]) -> int:
    for name, factor in TIMES.items():
        value = document.get(name)
        if value is not None:
            return moment_ms(value, name, factor)
    return 0
