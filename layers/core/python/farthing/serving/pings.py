"""Pings: events by which a schedule keeps an instance, and its models, ready for callers.

Only a platform sends them, never a caller: a direct or scheduled invocation on Lambda, Function
Compute's own way, an event on Knative where no key is asked for. By HTTP the same words are a
request like any other, and a text that says ping is a text.

    {"farthing": "ping"}                    what a schedule sends
    {"farthing": "ping", "hold_ms": 50}     held, so that pings sent at once meet as many instances

A schedule that sends nothing of its own is a ping too: EventBridge's `Scheduled Event`, Function
Compute's timer and Knative's PingSource without a payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from farthing.errors import InvalidRequest

if TYPE_CHECKING:
    from farthing.serving.envelope import Envelope
    from farthing.serving.outcome import Outcome
    from farthing.serving.pipeline import Pipeline

HOLD_MS_MAX = 1000
NAME = "farthing"
SCHEDULED = "Scheduled Event"
SCHEDULERS = ("aws.events", "aws.scheduler")
EMPTY: tuple[object, ...] = (None, "", b"", "{}", b"{}", {})
# Anything longer is no ping, and is not read twice to find that out.
PING_BYTES_MAX = 256


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a schedule asks for: that the instance is there, and stays busy for `hold_ms`."""

    farthing: Literal["ping"] = "ping"
    hold_ms: Annotated[int, msgspec.Meta(ge=0, le=HOLD_MS_MAX)] = 0


def carried(payload: Any) -> Any:
    """What a schedule's trigger brings: its payload, or a ping where that is empty."""
    return {NAME: "ping"} if payload in EMPTY else payload


def find_ping(event: Any) -> Ping | None:
    """The ping that an event of the platform is, parsed or as JSON; None for what is to be
    answered.

    Raises `InvalidRequest` for one that cannot be kept.
    """
    if isinstance(event, bytes):
        event = _parsed(event)
    if not isinstance(event, dict):
        return None
    if event.get("detail-type") == SCHEDULED and event.get("source") in SCHEDULERS:
        return Ping()
    if NAME not in event:
        return None
    try:
        return msgspec.convert(event, Ping)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise InvalidRequest(
            'The event is for Farthing itself, but is no ping. Send {"farthing": "ping"}, and with '
            f"it no more than hold_ms, whole milliseconds up to {HOLD_MS_MAX}."
        ) from None


def answer_ping(
    pipeline: Pipeline, event: Any, envelope: Envelope, *, holds: bool = True
) -> Outcome | None:
    """The outcome where the platform's event is a ping, or a failed one; else None.

    Unless it `holds`, it is answered at once: where instances are kept by their number, and a
    thread is worth more.
    """
    try:
        ping = find_ping(event)
    except InvalidRequest as refusal:
        return pipeline.refuse(refusal, envelope)
    return None if ping is None else pipeline.ping(envelope, ping.hold_ms if holds else 0)


def _parsed(raw: bytes) -> Any:
    if len(raw) > PING_BYTES_MAX:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # refused in the contract's words
