"""The lives of Knative's pods, as JSON lines that a watcher of the cluster writes.

    {"pod": "classify-00001-abc", "function": "classify", "started": "2026-11-22T05:00:00Z",
     "ended": "2026-11-22T05:07:30Z", "memory_mb": 1024, "vcpu_milli": 1000, "node": "c7i.xlarge"}

A pod holds what it requests from its start to its end, whoever it served. What of it no entry
measured as busy or idle is the house's. A long life is better written in parts, hour by hour: what
has not ended is not known.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from farthing.billing.ledger import Record
from farthing.ledger.settlement.faults import Malformed
from farthing.ledger.settlement.numbers import read_json, whole_mb
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from farthing.ledger.settlement.events import LogEvent

POD = "pod"
MICROSECOND = dt.timedelta(microseconds=1)
NS_PER_US = 1000


def record_of(event: LogEvent, _source: str) -> Record | None:
    """The record of a pod's life, dated at its end; None for any other line.

    Raises `Malformed`. A part of a life is named by the pod and its start, so that telling it again
    changes nothing.
    """
    text = event.message.lstrip()
    if not text.startswith("{") or '"pod"' not in text or '"ended"' not in text:
        return None
    document = read_json(text)
    pod, function = document.get("pod"), document.get("function")
    if not isinstance(pod, str) or not isinstance(function, str) or not pod or not function:
        raise Malformed("a pod's life without its pod and function")
    started, ended = _moment(document, "started"), _moment(document, "ended")
    if ended < started:
        raise Malformed("a pod ended before it started")
    life_ns = (ended - started) // MICROSECOND * NS_PER_US
    return Record(
        source=f"{POD}/{pod}/{started.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}",
        function=function,
        request_id="",
        at_ms=int(ended.timestamp() * 1000),
        billed_ms=-(-life_ns // NS_PER_MS),
        duration_ns=life_ns,
        memory_mb=whole_mb(document.get("memory_mb"), "memory_mb"),
        status=POD,
    )


def _moment(document: dict[str, Any], name: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(str(document.get(name)))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Malformed(f"{name} is no moment with its time zone")
    return moment
