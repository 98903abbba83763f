"""The routes around the contracts: health, models, documentation, and the platform's own."""

from __future__ import annotations

import asyncio
import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from farthing.errors import InternalFault, MethodNotAllowed, Refusal, UnknownRoute
from farthing.serving.batches.routes import batch_routes
from farthing.serving.exchange import JSON, Reply, authorised, reply_with
from farthing.serving.gate import SHUTTER, Shutter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from farthing.serving.service import Service

IDLE_EVERY_S = 60
# How long a thread that computes may keep the interpreter from the event loop. 5 ms, Python's own,
# gave 1,020 requests/s on 32 connections where this gave 1,070, and 0.2 ms 980.
SWITCH_S = 0.001
# Objects that come to stay before the youngest are looked through, and rounds before the others:
# thousands of open connections are many objects, and none of them is garbage.
COLLECT_AFTER = (10_000, 10, 10)
# They wait and do not compute, so more than cores.
WAITING_THREADS = 8
DOCUMENTATION_PATHS = ("/docs", "/openapi.json", "/static-offline-docs/{file}")


def build_routes(service: Service, contracts: Mapping[str, ASGIApp]) -> Starlette:
    """A Starlette application that knows every route, and refuses in our words what is none."""
    routes = [
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in contracts.items()),
        Route("/v1/models", _models(service), methods=["GET"]),
        Route("/v1/usage", _usage(service), methods=["GET"]),
        Route("/v1/jobs/{id}", _jobs(service), methods=["GET", "DELETE"]),
        *batch_routes(service),
        Route("/healthz", _health, methods=["GET"]),
        Route("/readyz", _readiness(service), methods=["GET"]),
    ]
    if service.settings.host != "lambda":
        documentation = Documentation(service)
        routes += [Route(path, documentation, methods=["GET"]) for path in DOCUMENTATION_PATHS]
    routes += service.platform.routes(service)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """A server's life; Lambda has no such hook.

        What it yields is for the server's connections; see `farthing.serving.connections`.
        """
        switch_s, collect_after = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(SWITCH_S)
        with ThreadPoolExecutor(WAITING_THREADS, "farthing") as service.workers:
            service.share_threads()
            service.start()
            # What a start leaves behind stays. Looked through for garbage again and again, it took
            # a third of the event loop's time under overload.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            idle = asyncio.create_task(_book_idle(service))
            yield {SHUTTER: Shutter(service)}
            idle.cancel()
            service.is_ready = False
        service.workers = None
        gc.unfreeze()
        gc.set_threshold(*collect_after)
        sys.setswitchinterval(switch_s)
        service.stop()

    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.add_exception_handler(404, _refuse_with(service, _unknown_route))
    app.add_exception_handler(405, _refuse_with(service, _method_not_allowed))
    app.add_exception_handler(Exception, _refuse_with(service, _internal_fault))
    return app


async def _book_idle(service: Service) -> None:
    """Once a minute the house's time is booked, where a provider bills it."""
    while service.settings.idle == "billed":
        await asyncio.sleep(IDLE_EVERY_S)
        service.book_idle()


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


def _models(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """The models served, in OpenAI's shape with our facts added. Auth: as the contracts."""

    async def endpoint(request: Request) -> Response:
        envelope = service.platform.envelope(request.scope)
        try:
            authorised(service, request.headers, envelope)
        except Refusal as refusal:
            return _response(reply_with(service.pipeline.refuse(refusal, envelope)))
        models: dict[str, dict[str, object]] = {}
        for answerer in service.pipeline.models:
            facts = {"id": answerer.name, "object": "model", "owned_by": "farthing"}
            # A bundle that answers several tasks is one model.
            models.setdefault(answerer.name, facts | answerer.describe())
        return _json({"object": "list", "data": list(models.values())})

    return endpoint


def _usage(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Auth: as the contracts."""

    async def endpoint(request: Request) -> Response:
        # Few ask, and a start does not owe the imports.
        from farthing.serving.statements import answer_usage

        return await answer_usage(service, request)

    return endpoint


def _jobs(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Auth: as the contracts."""

    async def endpoint(request: Request) -> Response:
        from farthing.serving.jobs.routes import answer_job

        return await answer_job(service, request)

    return endpoint


async def _health(request: Request) -> Response:
    """Auth: none."""
    return _json({"status": "alive"})


def _readiness(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Auth: none. 200 only after a real inference by every model, and not while draining."""

    async def endpoint(request: Request) -> Response:
        if service.is_ready:
            return _json({"status": "ready"})
        return _json({"status": "starting"}, 503)

    return endpoint


def _refuse_with(
    service: Service, refusal_for: Callable[[Request, Exception], Refusal]
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        envelope = service.platform.envelope(request.scope)
        refusal = refusal_for(request, error)
        return _response(reply_with(service.pipeline.refuse(refusal, envelope)))

    return handle


def _unknown_route(request: Request, error: Exception) -> Refusal:
    paths = [route.path for route in request.app.routes if isinstance(route, Route)]
    return UnknownRoute(f"Nothing is served at this path. Served are {', '.join(paths)}.")


def _method_not_allowed(request: Request, error: Exception) -> Refusal:
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "POST")
    return MethodNotAllowed(
        f"The path is not served for this method. Use {allowed}.", allow=allowed
    )


def _internal_fault(request: Request, error: Exception) -> Refusal:
    return InternalFault("Farthing failed before the invocation began. Try again.")


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=JSON)


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, headers=reply.headers)
