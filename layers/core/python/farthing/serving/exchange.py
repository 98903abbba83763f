"""A request and its reply, whatever carries them: checks at the door, an outcome as bytes.

Imports no server and no event loop, so that a Lambda function need not either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from farthing.errors import BodyTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.serving.envelope import Envelope
    from farthing.serving.pipeline import Outcome
    from farthing.serving.service import Service

JSON = "application/json"
PROBLEM = "application/problem+json"


class Reply(NamedTuple):
    """Status, headers and body, ready to send."""

    status: int
    headers: dict[str, str]
    body: bytes


def reply_with(outcome: Outcome) -> Reply:
    """The outcome as JSON, or as a problem document where it is a refusal."""
    media_type = JSON if outcome.status < 400 else PROBLEM
    headers = {"Content-Type": media_type, **outcome.headers}
    return Reply(outcome.status, headers, msgspec.json.encode(outcome.body))


def authorised(service: Service, headers: Mapping[str, str], envelope: Envelope) -> Envelope:
    """The envelope with its caller. Raises `Unauthorized` where access is by keys.

    Names in `headers` are in lower case here and below.
    """
    if service.keys is None:
        return envelope
    caller = service.keys.caller(headers.get("authorization"))
    return msgspec.structs.replace(envelope, tenant=caller.sub, caller=caller)


def require_json(headers: Mapping[str, str]) -> None:
    """Raises `UnsupportedMediaType` unless the body says it is JSON, or says nothing."""
    stated = headers.get("content-type", JSON)
    media_type = stated.partition(";")[0].strip().lower()
    if media_type != JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "The body's content type is not JSON. Send it as `Content-Type: application/json`."
        )


def require_size(size_bytes: int, max_bytes: int) -> None:
    """Raises `BodyTooLarge`."""
    if size_bytes > max_bytes:
        raise BodyTooLarge(
            f"The body has more than the {max_bytes} bytes that this platform takes. "
            "Send the inputs in several calls."
        )
