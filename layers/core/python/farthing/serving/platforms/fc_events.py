"""The request that a Function Compute event carries: a timer's, a queue's, an object's, or bare.

Formats: https://help.aliyun.com/zh/fc/user-guide/formats-of-event-for-different-triggers
(2023-12-12), and CloudEvents 1.0, as which EventBridge delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving.exchange import require_size
from farthing.serving.pings import carried

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.settings import Settings

TIMER_KEYS = {"triggerTime", "triggerName", "payload"}


def request_in(body: bytes, settings: Settings) -> bytes:
    """The request's JSON; a body that is no known event is the request itself.

    Raises `InvalidRequest` for an event that carries none, `BodyTooLarge` for an object too large.
    """
    try:
        event = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body  # refused in the contract's words
    if not isinstance(event, dict):
        return body
    if event.keys() == TIMER_KEYS:
        return _as_json(carried(event["payload"]))
    if "specversion" in event and "data" in event:
        return _as_json(_message(event["data"]))
    records = event.get("events")
    if event.keys() == {"events"} and isinstance(records, list):
        return _object(records, settings)
    return body


def _message(data: Any) -> Any:
    """A queue's message lies in a wrapping of its own."""
    return data.get("messageBody", data) if isinstance(data, dict) else data


def _as_json(carried: Any) -> bytes:
    return carried.encode() if isinstance(carried, str) else msgspec.json.encode(carried)


def _object(records: list[Any], settings: Settings) -> bytes:
    if settings.objects is None:
        raise InvalidRequest(
            "The event is about an object, and FARTHING_OBJECTS names no folder to read it from. "
            "Mount the bucket, and set FARTHING_OBJECTS to where."
        )
    if len(records) != 1:
        raise InvalidRequest(
            f"The event is about {len(records)} objects; one call answers one. Send them singly."
        )
    try:
        key = records[0]["oss"]["object"]["key"]
        file = _inside(settings.objects.resolve(), key)
        require_size(file.stat().st_size, settings.payload_max_bytes)
        return file.read_bytes()
    except (KeyError, TypeError, ValueError, OSError):
        raise InvalidRequest(
            "The event's object cannot be read from the mounted bucket. Look whether it is still "
            "there, and whether the function's role may read it."
        ) from None


def _inside(folder: Path, key: str) -> Path:
    """Raises `ValueError` for a key that would lead out of the folder."""
    file = (folder / key).resolve()
    file.relative_to(folder)
    return file
