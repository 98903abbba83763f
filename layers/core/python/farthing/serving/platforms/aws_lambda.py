"""AWS Lambda: HTTP events through Mangum, everything else as a direct invocation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from farthing.errors import MalformedBody
from farthing.serving.envelope import Envelope, deadline_after, generate_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route

    from farthing.billing.shares import Share
    from farthing.serving.pipeline import Outcome
    from farthing.serving.service import Service
    from farthing.settings import Settings

TEXT_TYPES = ["text/", "application/json", "application/problem+json"]


class LambdaContext(Protocol):
    """What the runtime tells of an invocation: its id, and how long until it is killed."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class LambdaPlatform:
    """Lambda's identity and deadline, from the context object that only the runtime can fill."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._share: Share | None = None

    def arrive(self, share: Share) -> None:
        """The next envelope's time began already: Lambda bills from the call of the handler."""
        self._share = share

    def envelope(self, scope: Mapping[str, Any]) -> Envelope:
        return self.envelope_of(scope.get("aws.context"))

    def envelope_of(self, context: LambdaContext | None) -> Envelope:
        tenant = self._settings.tenant
        share, self._share = self._share, None
        if context is None:
            generated = generate_envelope(self._settings.timeout_ms, tenant)
            return msgspec.structs.replace(generated, share=share)
        deadline_ns = deadline_after(context.get_remaining_time_in_millis())
        return Envelope(context.aws_request_id, deadline_ns, tenant, share=share)

    def routes(self, service: Service) -> Sequence[Route]:
        return ()


def build_handler(service: Service) -> Callable[[Any, Any], Any]:
    """A Lambda handler: `handler(event, context)`.

    API Gateway, Function URL and load balancer events get an HTTP response; any other event is
    the request itself and gets the answer's body, or the problem's.
    """
    platform = LambdaPlatform(service.settings)
    service.platform = platform
    contract = service.contracts[0]
    http = _mangum(service)

    def handler(event: Any, context: Any) -> Any:
        share = service.pipeline.arrive()
        platform.arrive(share)
        try:
            return answer(event, context)
        finally:
            share.leave()

    def answer(event: Any, context: Any) -> Any:
        if isinstance(event, dict) and "requestContext" in event:
            try:
                _require_method(event)
                return http(event, context)
            except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
                # Mangum reads the event outside the application. These errors mean an event that
                # no gateway sends: a body that is not base64, a method that is a number.
                refusal = MalformedBody(
                    "The event looks like an HTTP request but is not one that a gateway sends. "
                    "Send the request's JSON alone, or a whole gateway event."
                )
                outcome = service.pipeline.refuse(refusal, platform.envelope_of(context))
                return _http_response(outcome)
        return service.pipeline.invoke(contract, event, platform.envelope_of(context)).body

    return handler


def _require_method(event: dict[str, Any]) -> None:
    """Raises `KeyError` or `TypeError`; Mangum would hand the application whatever stands there."""
    method = (
        event["httpMethod"] if "httpMethod" in event else event["requestContext"]["http"]["method"]
    )
    if not isinstance(method, str):
        raise TypeError(method)


def _mangum(service: Service) -> Any:
    from mangum import Mangum

    # Mangum runs on the thread's event loop; asking asyncio for an implicit one is deprecated.
    asyncio.set_event_loop(asyncio.new_event_loop())
    return Mangum(service.app, lifespan="off", text_mime_types=TEXT_TYPES)


def _http_response(outcome: Outcome) -> dict[str, object]:
    return {
        "statusCode": outcome.status,
        "headers": {"content-type": "application/problem+json", **outcome.headers},
        "body": msgspec.json.encode(outcome.body).decode(),
        "isBase64Encoded": False,
    }
