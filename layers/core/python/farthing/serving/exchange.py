"""A request and its reply, whatever carries them: checks at the door, an outcome as bytes.

Imports no server and no event loop, so that a Lambda function need not either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from farthing.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.outcome import Outcome  # noqa: TC001 - `Asked` is read at run time

if TYPE_CHECKING:
    from farthing.serving.service import Service

JSON = "application/json"
PROBLEM = "application/problem+json"
TIMEOUT = "x-farthing-timeout-ms"
TIMEOUT_DIGITS_MAX = 9


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


class Asked(NamedTuple):
    """The contract's request that a route was sent, and how its outcome is told there."""

    payload: Any
    told: Callable[[Outcome], Reply] = reply_with


# What finds it in a body and its headers; or the reply, where nothing is asked of the contract.
# Raises a `Refusal`.
Reader = Callable[[bytes, Mapping[str, str], Envelope], Asked | Reply]


def authorised(service: Service, headers: Mapping[str, str], envelope: Envelope) -> Envelope:
    """The envelope with its caller, the caller's name for the request and how long it waits for
    the answer, where these are stated.

    Raises `Unauthorized` where access is by keys, and `InvalidRequest`.

    Names in `headers` are in lower case here and below.
    """
    if service.keys is not None:
        caller = service.keys.caller(headers.get("authorization"))
        envelope = msgspec.structs.replace(envelope, tenant=caller.sub, caller=caller)
    key, timeout = headers.get("idempotency-key"), headers.get(TIMEOUT)
    if key is not None:
        envelope = msgspec.structs.replace(envelope, idempotency_key=key)
    if timeout is not None:
        deadline_ns = min(envelope.deadline_ns, deadline_after(_read_timeout_ms(timeout)))
        envelope = msgspec.structs.replace(envelope, deadline_ns=deadline_ns)
    return envelope


def _read_timeout_ms(stated: str) -> int:
    is_whole = stated.isascii() and stated.isdigit() and len(stated) <= TIMEOUT_DIGITS_MAX
    if not is_whole or int(stated) == 0:
        raise InvalidRequest(
            "X-Farthing-Timeout-Ms is not a whole number of milliseconds from 1 to 999999999. "
            "Send how long you wait for the answer, or leave it out."
        )
    return int(stated)


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
