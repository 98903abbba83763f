"""Alibaba Function Compute 3.0: a custom container behind `/invoke` and HTTP triggers.

https://help.aliyun.com/en/functioncompute/fc/user-guide/code-development-in-custom-container-runtimes
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from farthing.serving.envelope import Envelope, deadline_after, generate_envelope
from farthing.serving.exchange import Asked, reply_with
from farthing.serving.http import Endpoint
from farthing.serving.pings import answer_ping
from farthing.serving.platforms.fc_events import request_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from farthing.serving.exchange import Reply
    from farthing.serving.service import Service
    from farthing.settings import Settings

REQUEST_ID = b"x-fc-request-id"
MEMORY_MB = b"x-fc-function-memory"
# Which way a call came: `/invoke` and `/initialize` are the platform's own, `/http-invoke` a
# caller's, whatever path it asked for. https://www.alibabacloud.com/help/doc-detail/191345.htm
CONTROL_PATH = b"x-fc-control-path"
# The platform takes an event's failure from this header, whatever the body says.
STATUS = b"x-fc-status"
FAILED = b"404"
SUCCEEDED = b"200"
REQUEST_ID_MAX_CHARS = 128


class FunctionComputePlatform:
    """Identity from `x-fc-*` headers, which the platform strips from what callers send."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def envelope(self, scope: Mapping[str, Any]) -> Envelope:
        generated = generate_envelope(self._settings.timeout_ms, self._settings.tenant)
        headers = dict(scope.get("headers", ()))
        stated_id = headers.get(REQUEST_ID, b"").decode("latin-1")[:REQUEST_ID_MAX_CHARS]
        stated_memory = headers.get(MEMORY_MB, b"")
        return Envelope(
            request_id=stated_id if stated_id.isprintable() and stated_id else generated.request_id,
            deadline_ns=deadline_after(self._settings.timeout_ms),
            tenant=generated.tenant,
            memory_mb=int(stated_memory) if stated_memory.isdigit() else None,
        )

    def routes(self, service: Service) -> Sequence[Route]:
        return (
            Route("/initialize", _initialize(service), methods=["POST"]),
            Route("/pre-stop", _pre_stop(service), methods=["GET", "POST"]),
            Route("/invoke", _invoke(service), methods=["POST"]),
        )


def _initialize(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Called once an instance. Auth: the platform's, no caller comes here."""

    async def endpoint(request: Request) -> Response:
        _refuse_callers(request)
        service.start()
        return Response("ready", media_type="text/plain")

    return endpoint


def _pre_stop(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Called before an instance is stopped for good. Auth: the platform's, no caller comes here."""

    async def endpoint(request: Request) -> Response:
        _refuse_callers(request)
        await asyncio.to_thread(service.stop)
        return Response("stopping", media_type="text/plain")

    return endpoint


def _refuse_callers(request: Request) -> None:
    """An HTTP trigger passes every path through, these too; the platform says whose call it is."""
    path = request.url.path
    if request.headers.get(CONTROL_PATH.decode(), path) != path:
        raise HTTPException(404)


def _invoke(service: Service) -> _Invocation:
    """An event: the body is the request, or carries it, whatever its content type.

    Auth: the platform's where it says that the call is its own, else as the contract's route.
    """
    contract = service.contracts[0]

    def event(body: bytes, headers: Mapping[str, str], envelope: Envelope) -> Asked | Reply:
        request = request_in(body, service.settings)
        pong = answer_ping(service.pipeline, request, envelope)
        return Asked(request) if pong is None else reply_with(pong)

    own = _Signalling(service, contract, reads=event, is_trusted=True)
    callers = _Signalling(service, contract)
    # Without the header a call is believed only where a key would not be asked for anyway.
    unstated = b"/invoke" if service.keys is None else b""
    return _Invocation(own, callers, unstated)


class _Signalling(Endpoint):
    """An endpoint that tells an event's success or failure as the platform reads it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def signal(message: Message) -> None:
            if message["type"] == "http.response.start":
                has_failed = message["status"] >= 400
                message["status"] = int(FAILED) if has_failed else message["status"]
                message["headers"].append((STATUS, FAILED if has_failed else SUCCEEDED))
            await send(message)

        await super().__call__(scope, receive, signal)


class _Invocation:
    """Hands the platform's own calls to one endpoint, and everybody else's to another."""

    def __init__(self, own: Endpoint, callers: Endpoint, unstated: bytes) -> None:
        self._own = own
        self._callers = callers
        self._unstated = unstated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stated = dict(scope["headers"]).get(CONTROL_PATH, self._unstated)
        endpoint = self._own if stated == b"/invoke" else self._callers
        await endpoint(scope, receive, send)
