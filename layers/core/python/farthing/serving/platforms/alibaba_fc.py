"""Alibaba Function Compute 3.0: a custom container behind `/invoke` and HTTP triggers.

https://help.aliyun.com/en/functioncompute/fc/user-guide/code-development-in-custom-container-runtimes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from farthing.serving.envelope import Envelope, deadline_after, generate_envelope
from farthing.serving.http import Endpoint, contract_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from farthing.serving.service import Service
    from farthing.settings import Settings

REQUEST_ID = b"x-fc-request-id"
MEMORY_MB = b"x-fc-function-memory"
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
    """Called once an instance. Auth: the platform's; it does not route callers here."""

    async def endpoint(request: Request) -> Response:
        service.start()
        return Response("ready", media_type="text/plain")

    return endpoint


def _pre_stop(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Called before an instance is stopped for good. Auth: the platform's."""

    async def endpoint(request: Request) -> Response:
        service.is_ready = False
        return Response("stopping", media_type="text/plain")

    return endpoint


def _invoke(service: Service) -> Endpoint:
    """An event: the body is the request, whatever its content type. Auth: the platform's."""
    return _Signalling(service, contract_work(service, service.contracts[0]), is_trusted=True)


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
