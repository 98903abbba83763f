"""The routes of files and batches; what is behind them loads when one is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from farthing.serving.batches.endpoints import Endpoints
    from farthing.serving.service import Service

# Path, method, and who of `Endpoints` answers.
ROUTES: Final = (
    ("/v1/files", "POST", "upload"),
    ("/v1/files", "GET", "list_files"),
    ("/v1/files/{file_id}", "GET", "file"),
    ("/v1/files/{file_id}", "DELETE", "delete_file"),
    ("/v1/files/{file_id}/content", "GET", "content"),
    ("/v1/batches", "POST", "create_batch"),
    ("/v1/batches", "GET", "list_batches"),
    ("/v1/batches/{batch_id}", "GET", "batch"),
    ("/v1/batches/{batch_id}/cancel", "POST", "cancel_batch"),
)


def batch_routes(service: Service) -> list[Route]:
    """A route for each path, with its methods."""
    deferred = _Deferred(service)
    methods: dict[str, dict[str, str]] = {}
    for path, method, name in ROUTES:
        methods.setdefault(path, {})[method] = name
    return [
        Route(path, deferred.endpoint(names), methods=list(names))
        for path, names in methods.items()
    ]


class _Deferred:
    """Endpoints that are built at the first request: a start owes nothing for them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._endpoints: Endpoints | None = None

    def endpoint(self, names: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
        """What answers these methods; HEAD is answered as GET is."""

        async def answer(request: Request) -> Response:
            if self._endpoints is None:
                from farthing.serving.batches.endpoints import Endpoints

                self._endpoints = Endpoints(self._service)
            method = "GET" if request.method == "HEAD" else request.method
            called: Any = getattr(self._endpoints, names[method])
            response: Response = await called(request)
            return response

        return answer
