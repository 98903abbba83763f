"""A function's entry point, the same object for every platform."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from farthing.hosts import find_host
from farthing.serving.service import Service, process_age_ns
from farthing.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Entry:
    """`handler` is what Lambda calls; the object itself is what an ASGI server runs.

    Under Lambda everything loads now, and answers once, in the INIT phase, which is billed once
    and has a full core. Elsewhere nothing loads before a server starts it, so importing an entry
    is free.
    """

    def __init__(self, function: str, environ: Mapping[str, str] = os.environ) -> None:
        self._function = function
        self._environ = environ
        self._service: Service | None = None
        self._handler: Callable[[Any, Any], Any] | None = None
        if find_host(environ) == "lambda":
            self._handler = self._build_handler()

    @property
    def service(self) -> Service:
        if self._service is None:
            settings = read_settings(self._environ)
            self._service = Service([self._function], settings)
        return self._service

    def handler(self, event: Any, context: Any) -> Any:
        """The answer to a Lambda event: an HTTP response for HTTP events, else the body."""
        if self._handler is None:
            self._handler = self._build_handler()
        return self._handler(event, context)

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            try:
                _ = self.service
            except Exception as error:
                # Uvicorn takes an exception here for an application without a lifespan, and
                # would go on to serve one that cannot answer.
                await receive()
                message = f"farthing: {error}"
                await send({"type": "lifespan.startup.failed", "message": message})
                return
        await self.service.app(scope, receive, send)

    def _build_handler(self) -> Callable[[Any, Any], Any]:
        from farthing.serving.platforms.aws_lambda import build_handler

        handler = build_handler(self.service)
        self.service.warm_up()
        # Init is in the first call's bill only on demand: provisioned and managed environments
        # start on the house, and a snapshot is made once and billed per restore.
        initialization = self.service.settings.initialization
        if initialization == "on-demand":
            self.service.pipeline.instance.started(process_age_ns())
        elif initialization == "snap-start":
            from farthing.serving.snapshots import register_hooks

            self.service.pipeline.instance.snapshot()
            register_hooks(self.service)
        return handler
