"""The endpoint table, mounted on Starlette: the same routes under Lambda and under a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from farthing.errors import (
    BodyTooLarge,
    InternalFault,
    MethodNotAllowed,
    Refusal,
    UnknownRoute,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from farthing.serving.envelope import Envelope
    from farthing.serving.pipeline import Outcome
    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

JSON = "application/json"
PROBLEM = "application/problem+json"
# Sent when the client has gone: nobody reads it, but the server must be told something.
CLIENT_CLOSED_REQUEST = 499
DOCUMENTATION_PATHS = ("/docs", "/openapi.json", "/static-offline-docs/{file}")


def build_app(service: Service, extra_routes: Iterable[Route] = ()) -> Starlette:
    """An ASGI application with the contract's routes, the health routes and `extra_routes`."""
    routes = [
        *(contract_route(service, contract) for contract in service.contracts),
        Route("/v1/models", _keyed(service, lambda: model_list(service)), methods=["GET"]),
        Route("/healthz", _open(lambda: {"status": "alive"}), methods=["GET"]),
        Route("/readyz", _readiness(service), methods=["GET"]),
        *extra_routes,
    ]
    if service.settings.host != "lambda":
        documentation = Documentation(service)
        routes += [Route(path, documentation, methods=["GET"]) for path in DOCUMENTATION_PATHS]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.add_exception_handler(404, _refuse_with(service, _unknown_route))
    app.add_exception_handler(405, _refuse_with(service, _method_not_allowed))
    app.add_exception_handler(Exception, _refuse_with(service, _internal_fault))
    return app


def contract_route(service: Service, contract: Contract) -> Route:
    """`POST` of a contract. Auth: a key where access is by keys, else the platform's."""

    async def endpoint(request: Request) -> Response:
        def work(body: bytes, envelope: Envelope) -> Response:
            return respond(service.pipeline.invoke(contract, body, envelope))

        return await handle(service, request, work, wants_json=True)

    return Route(contract.path, endpoint, methods=["POST"], name=contract.task)


async def handle(
    service: Service,
    request: Request,
    work: Callable[[bytes, Envelope], Response],
    *,
    wants_json: bool = False,
    is_trusted: bool = False,
) -> Response:
    """What `work` makes of the body, done where the service computes.

    `is_trusted` is for routes that only the platform can reach. A `Refusal`, from here or from
    `work`, becomes its problem document.
    """
    envelope = service.platform.envelope(request.scope)
    try:
        if not is_trusted:
            envelope = authorised(service, request, envelope)
        if wants_json:
            require_json(request)
        body = await read_body(request, service.settings.payload_max_bytes)
        return await service.run(lambda: work(body, envelope))
    except Refusal as refusal:
        return respond(service.pipeline.refuse(refusal, envelope))
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)


def respond(outcome: Outcome) -> Response:
    """The outcome as an HTTP response, its JSON encoded."""
    return Response(
        msgspec.json.encode(outcome.body),
        status_code=outcome.status,
        headers=outcome.headers,
        media_type=JSON if outcome.status < 400 else PROBLEM,
    )


def authorised(service: Service, request: Request, envelope: Envelope) -> Envelope:
    """The envelope with its tenant. Raises `Unauthorized` where access is by keys."""
    if service.keys is None:
        return envelope
    tenant = service.keys.tenant(request.headers.get("authorization"))
    return msgspec.structs.replace(envelope, tenant=tenant)


def require_json(request: Request) -> None:
    """Raises `UnsupportedMediaType` unless the body says it is JSON, or says nothing."""
    stated = request.headers.get("content-type", JSON)
    media_type = stated.partition(";")[0].strip().lower()
    if media_type != JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "The body's content type is not JSON. Send it as `Content-Type: application/json`."
        )


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be larger: by its length, else on the way.

    Raises `BodyTooLarge`.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise _too_large(max_bytes)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(chunks)


def model_list(service: Service) -> dict[str, object]:
    """The answer of `/v1/models`, in OpenAI's shape with our facts added."""
    models = [
        {"id": answerer.name, "object": "model", "owned_by": "farthing", **answerer.describe()}
        for answerer in service.pipeline.models
    ]
    return {"object": "list", "data": models}


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body has more than the {max_bytes} bytes that this platform takes. "
        "Send the inputs in several calls."
    )


Endpoint = Any  # Starlette's own alias for what Route takes


def _open(content: Callable[[], object]) -> Endpoint:
    """Auth: none."""

    async def endpoint(request: Request) -> Response:
        return Response(msgspec.json.encode(content()), media_type=JSON)

    return endpoint


def _keyed(service: Service, content: Callable[[], object]) -> Endpoint:
    """Auth: as the contracts."""

    async def endpoint(request: Request) -> Response:
        envelope = service.platform.envelope(request.scope)
        try:
            authorised(service, request, envelope)
        except Refusal as refusal:
            return respond(service.pipeline.refuse(refusal, envelope))
        return Response(msgspec.json.encode(content()), media_type=JSON)

    return endpoint


def _readiness(service: Service) -> Endpoint:
    """Auth: none. 200 only after a real inference by every model, and not while draining."""

    async def endpoint(request: Request) -> Response:
        status = "ready" if service.is_ready else "starting"
        code = 200 if service.is_ready else 503
        return Response(msgspec.json.encode({"status": status}), code, media_type=JSON)

    return endpoint


class Documentation:
    """An ASGI application that is built when somebody first looks. Auth: none."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from farthing.serving.docs import build_docs

            self._app = build_docs(self._service)
        await self._app(scope, receive, send)


def _refuse_with(
    service: Service, refusal_for: Callable[[Request, Exception], Refusal]
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        envelope = service.platform.envelope(request.scope)
        return respond(service.pipeline.refuse(refusal_for(request, error), envelope))

    return handle


def _unknown_route(request: Request, error: Exception) -> Refusal:
    return UnknownRoute(
        f"Nothing is served at this path. Served are {', '.join(_paths(request.app))}."
    )


def _method_not_allowed(request: Request, error: Exception) -> Refusal:
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "POST")
    return MethodNotAllowed(
        f"The path is not served for this method. Use {allowed}.", allow=allowed
    )


def _internal_fault(request: Request, error: Exception) -> Refusal:
    return InternalFault("Farthing failed before the invocation began. Try again.")


def _paths(app: Starlette) -> list[str]:
    return [route.path for route in app.routes if isinstance(route, Route)]
