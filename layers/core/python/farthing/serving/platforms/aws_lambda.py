"""AWS Lambda: HTTP events and direct invocations."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from farthing.errors import MalformedBody, Refusal
from farthing.serving.envelope import Envelope, deadline_after, generate_envelope
from farthing.serving.exchange import (
    Reply,
    authorised,
    reply_with,
    require_json,
    require_size,
)
from farthing.serving.pings import answer_ping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route

    from farthing.billing.shares import Share
    from farthing.serving.ports import Contract
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
    a ping, or the request itself and gets the answer's body, or the problem's.
    """
    platform = LambdaPlatform(service.settings)
    service.platform = platform
    gateway = Gateway(service, platform)

    def handler(event: Any, context: Any) -> Any:
        share = service.pipeline.arrive()
        platform.arrive(share)
        try:
            if isinstance(event, dict) and "requestContext" in event:
                return gateway.answer(event, context)
            envelope = platform.envelope_of(context)
            pong = answer_ping(service.pipeline, event, envelope)
            if pong is not None:
                return pong.body
            return service.pipeline.invoke(service.contracts[0], event, envelope).body
        finally:
            share.leave()

    return handler


class Gateway:
    """HTTP by events.

    A contract's `POST` in payload format 2.0 (HTTP API, Function URL) is answered straight; all
    else goes through Mangum to the ASGI application. Their imports would be a fifth of a cold
    start and are left until such an event comes.
    """

    def __init__(self, service: Service, platform: LambdaPlatform) -> None:
        self._service = service
        self._platform = platform
        self._contracts = {contract.path: contract for contract in service.contracts}
        self._mangum: Callable[[Any, Any], Any] | None = None

    def answer(self, event: dict[str, Any], context: Any) -> Any:
        """The gateway's HTTP response."""
        try:
            _require_method(event)
            contract = self._straight(event)
            if contract is not None:
                return self._contract(contract, event, self._platform.envelope_of(context))
            return self._through_mangum(event, context)
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
            # The event is read on trust. These errors mean one that no gateway sends: a body
            # that is not base64, a method that is a number.
            refusal = MalformedBody(
                "The event looks like an HTTP request but is not one that a gateway sends. "
                "Send the request's JSON alone, or a whole gateway event."
            )
            envelope = self._platform.envelope_of(context)
            return _response(reply_with(self._service.pipeline.refuse(refusal, envelope)))

    def _straight(self, event: dict[str, Any]) -> Contract | None:
        if event.get("version") != "2.0":
            return None
        http = event["requestContext"]["http"]
        return self._contracts.get(http["path"]) if http["method"] == "POST" else None

    def _contract(self, contract: Contract, event: dict[str, Any], envelope: Envelope) -> Any:
        service = self._service
        headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
        body = event.get("body") or ""
        payload = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
        try:
            envelope = authorised(service, headers, envelope)
            require_json(headers)
            require_size(len(payload), service.settings.payload_max_bytes)
        except Refusal as refusal:
            return _response(reply_with(service.pipeline.refuse(refusal, envelope)))
        return _response(reply_with(service.pipeline.invoke(contract, payload, envelope)))

    def _through_mangum(self, event: dict[str, Any], context: Any) -> Any:
        if self._mangum is None:
            from mangum import Mangum

            _provide_event_loop()
            self._mangum = Mangum(self._service.app, lifespan="off", text_mime_types=TEXT_TYPES)
        return self._mangum(event, context)


@cache
def _provide_event_loop() -> None:
    """Mangum runs on the thread's event loop; that asyncio makes one unasked is deprecated."""
    import asyncio
    import atexit

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    atexit.register(loop.close)


def _require_method(event: dict[str, Any]) -> None:
    """Raises `KeyError` or `TypeError`; Mangum would hand the application whatever stands there."""
    context = event["requestContext"]
    method = event["httpMethod"] if "httpMethod" in event else context["http"]["method"]
    if not isinstance(method, str):
        raise TypeError(method)


def _response(reply: Reply) -> dict[str, object]:
    return {
        "statusCode": reply.status,
        "headers": {name.lower(): value for name, value in reply.headers.items()},
        "body": reply.body.decode(),
        "isBase64Encoded": False,
    }
