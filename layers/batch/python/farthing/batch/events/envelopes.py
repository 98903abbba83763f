"""What an event asks for, whatever it came wrapped in: work, in the order of the event.

    file     S3 ─┬─► direct        a notification's records
                 ├─► SQS           the same as a message's body
                 ├─► SNS ─► SQS    the same as a message in a message, or raw
                 └─► EventBridge ─► SQS
             OSS ─► Function Compute, or ─► MNS ─► EventBridge, as CloudEvents
             CloudEvents of S3, OSS and Cloud Storage, on Knative
    job      a CloudEvent of type farthing.batch.job.v1, whose data is a `JobAsked`
    shards   {"job": ADDRESS, "shards": [7, 8, 9]}, or a state machine's batch of items:
             {"BatchInput": {"job": ADDRESS}, "Items": [7, 8, 9]}
    waiting  a clock's call: EventBridge's Scheduled Event, Function Compute's timer, Knative's ping

What is known and asks for nothing (a deletion, a bucket's test message) is no work.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from farthing.batch.errors import JobInvalid
from farthing.batch.events.objects import (
    ObjectEvent,
    gcs_object,
    oss_object,
    s3_object,
    s3_object_of_bus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

JOB_TYPE = "farthing.batch.job.v1"
GCS_TYPE = "google.cloud.storage.object.v1."
PING_TYPE = "dev.knative.sources.ping"
SCHEDULED = "Scheduled Event"
# Text, list, message in a message, text, list: nobody wraps deeper.
DEPTH_MAX = 8


class JobAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job in so many words; what is None is as the function's settings say.

    Who pays is for the settings alone: whoever can send a message must not choose.
    """

    inputs: tuple[str, ...]
    task: Literal["classify", "embed"] | None = None
    model: str | None = None
    text: str | None = None
    id: str | None = None
    out: str | None = None
    format: Literal["jsonl", "parquet"] | None = None
    top_k: int = 1
    shard_rows: int | None = None


class ShardsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Shards of a job that is planned: `job` is the address of its output."""

    job: str
    shards: tuple[int, ...]


class WaitingAsked(msgspec.Struct, frozen=True):
    """All that waits at FARTHING_JOBS, since its own event may be lost."""


Work = ObjectEvent | JobAsked | ShardsAsked | WaitingAsked


def work_in(event: Any) -> list[Work]:
    """All that the event asks for. Raises `JobInvalid` for one that nobody here understands."""
    try:
        return _work(event, DEPTH_MAX)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        # Read on trust: these mean that it looks like an event of the kind, and is none.
        raise JobInvalid(
            "The event cannot be read as one that starts a job. Send a notification of S3 or OSS "
            "(also by SQS, SNS, EventBridge or as a CloudEvent), a CloudEvent of type "
            f"{JOB_TYPE}, the shards of a job, or a clock's event."
        ) from None


def _work(event: Any, depth: int) -> list[Work]:
    if depth == 0:
        raise ValueError(depth)
    if isinstance(event, list):
        return _all(event, depth)
    if isinstance(event, str):
        return _work(_unpacked(event), depth - 1)
    if "shards" in event or "Items" in event:
        return [_shards(event)]
    if "specversion" in event:
        return _cloud_event(event, depth)
    if event.get("detail-type") == SCHEDULED or {"triggerTime", "triggerName"} <= event.keys():
        return [WaitingAsked()]
    if "detail-type" in event:
        return _created(s3_object_of_bus(event))
    if "Records" in event:
        return _all(event["Records"], depth)
    if "events" in event:
        return _all(event["events"], depth)
    return _one(event, depth)


def _one(event: dict[str, Any], depth: int) -> list[Work]:
    """A record, or a message that holds the rest."""
    if "s3" in event:
        return _created(s3_object(event))
    if "oss" in event:
        return _created(oss_object(event))
    if event.get("Event") == "s3:TestEvent":
        return []
    if "Sns" in event:
        return _work(event["Sns"]["Message"], depth)
    for name in ("body", "Message", "messageBody"):
        if isinstance(event.get(name), str | dict):
            return _work(event[name], depth)
    raise ValueError(depth)


def _all(events: Iterable[Any], depth: int) -> list[Work]:
    return [work for event in events for work in _work(event, depth - 1)]


def _created(found: ObjectEvent | None) -> list[Work]:
    # Consoles make an object without a name for what they show as a folder.
    return [] if found is None or found.uri.endswith("/") else [found]


def _cloud_event(event: dict[str, Any], depth: int) -> list[Work]:
    kind: str = event["type"]
    if kind == PING_TYPE:
        return [WaitingAsked()]
    data: Any = event["data"] if "data" in event else event.get("data_base64")
    if isinstance(data, str):
        data = _unpacked(data)
    if kind == JOB_TYPE:
        return [msgspec.convert(data, JobAsked)]
    if kind.startswith(GCS_TYPE):
        return _created(gcs_object(data) if kind.endswith(".finalized") else None)
    return _work(data, depth - 1)


def _shards(event: dict[str, Any]) -> ShardsAsked:
    given = event["Items"] if "Items" in event else event["shards"]
    address = event["BatchInput"]["job"] if "Items" in event else event["job"]
    return msgspec.convert({"job": address, "shards": given}, ShardsAsked)


def _unpacked(text: str) -> Any:
    """JSON, as it is or in base64, as MNS wraps it."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        try:
            return msgspec.json.decode(base64.b64decode(text, validate=True))
        except (binascii.Error, msgspec.DecodeError):
            raise ValueError from None
