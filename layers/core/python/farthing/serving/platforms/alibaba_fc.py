"""Alibaba Function Compute 3.0: a custom container behind `/invoke` and HTTP triggers.

https://help.aliyun.com/en/functioncompute/fc/user-guide/code-development-in-custom-container-runtimes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from farthing.serving.envelope import Envelope, deadline_after, generate_envelope
from farthing.serving.http import handle, respond

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from farthing.serving.service import Service
    from farthing.settings import Settings

REQUEST_ID = b"x-fc-request-id"
MEMORY_MB = b"x-fc-function-memory"
# The platform takes an event's failure from this header, whatever the body says.
STATUS = "x-fc-status"
FAILED = "404"
SUCCEEDED = "200"
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


def _initialize(service: Service) -> Any:
    """Called once an instance. Auth: the platform's; it does not route callers here."""

    async def endpoint(request: Request) -> Response:
        if not service.is_ready:
            service.warm_up()
        return Response("ready", media_type="text/plain")

    return endpoint


def _pre_stop(service: Service) -> Any:
    """Called before an instance is frozen for good. Auth: the platform's."""

    async def endpoint(request: Request) -> Response:
        service.is_ready = False
        return Response("stopping", media_type="text/plain")

    return endpoint


def _invoke(service: Service) -> Any:
    """An event: the body is the request, whatever its content type. Auth: the platform's."""

    contract = service.contracts[0]

    async def endpoint(request: Request) -> Response:
        def work(body: bytes, envelope: Envelope) -> Response:
            return respond(service.pipeline.invoke(contract, body, envelope))

        return _signalled(await handle(service, request, work, is_trusted=True))

    return endpoint


def _signalled(response: Response) -> Response:
    """The response with the event's success or failure as the platform reads it."""
    if response.status_code < 400:
        response.headers[STATUS] = SUCCEEDED
    else:
        response.headers[STATUS] = FAILED
        response.status_code = int(FAILED)
    return response
