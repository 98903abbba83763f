"""CloudEvents over HTTP, binary and structured: the request in, the answer out as an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_binary
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from farthing.errors import MalformedBody, UnsupportedMediaType
from farthing.serving.exchange import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.serving.outcome import Outcome

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch"
ANSWER_TYPE = "farthing.answer.v1"


class Event(NamedTuple):
    """The caller's event: its data is the request."""

    id: str
    type: str
    source: str
    data: Any


def read_event(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of an HTTP request.

    Raises `UnsupportedMediaType` for a request that is no event or a batch of them, and
    `MalformedBody` for an event without its required attributes or with data that is not JSON.
    """
    content_type = headers.get("content-type", "").lower()
    is_structured = content_type.startswith(STRUCTURED)
    if content_type.startswith(BATCHED):
        raise UnsupportedMediaType(
            "The body is a batch of CloudEvents; one request carries one. Send them singly."
        )
    if not is_structured and "ce-specversion" not in headers:
        raise UnsupportedMediaType(
            "The request is no CloudEvent: it has neither ce-specversion nor the content type "
            f"{STRUCTURED}. Send an event here, or plain JSON to the function's own route."
        )
    try:
        message = HTTPMessage(dict(headers.items()), body)
        read = from_structured if is_structured else from_binary
        event = read(message, JSONFormat(), _complete)
    except (BaseCloudEventException, ValueError, TypeError, AttributeError, RecursionError):
        # The SDK checks attributes but reads the JSON around them on trust.
        raise MalformedBody(
            "The CloudEvent cannot be read: an attribute is missing or malformed, or its data is "
            "not JSON. It needs specversion 1.0, id, source, type, and JSON data."
        ) from None
    # In binary mode the body is the data as it came; the SDK would guess at what is not JSON.
    data = event.get_data() if is_structured else body
    return Event(event.get_id(), event.get_type(), event.get_source(), data)


def _complete(attributes: dict[str, Any], data: Any) -> CloudEvent:
    """The SDK would make up an absent id, and the answer would name a cause that never was."""
    if not {"id", "specversion"} <= attributes.keys():
        raise ValueError
    return CloudEvent(attributes, data)


def answer_event(event: Event, outcome: Outcome) -> Reply:
    """The outcome as an event in binary mode, so that a Broker can deliver it onwards.

    `causationid` names the event it answers, and `subject` its type.
    """
    attributes = {
        "id": outcome.headers["X-Request-Id"],
        "source": "/farthing",
        "type": ANSWER_TYPE,
        "specversion": "1.0",
        "subject": event.type,
        "causationid": event.id,
        "datacontenttype": "application/json",
    }
    message = to_binary(CloudEvent(attributes, msgspec.json.encode(outcome.body)), JSONFormat())
    return Reply(200, {**outcome.headers, **message.headers}, message.body)
