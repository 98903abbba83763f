"""Knative: HTTP as it is, and CloudEvents at the root; a local server has no events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from farthing.serving.envelope import generate_envelope
from farthing.serving.http import handle, respond

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service
    from farthing.settings import Settings


class LocalPlatform:
    """Generates every identity, since no platform gives one that a caller could not forge."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def envelope(self, scope: Mapping[str, Any]) -> Envelope:
        return generate_envelope(self._settings.timeout_ms, self._settings.tenant)

    def routes(self, service: Service) -> Sequence[Route]:
        return ()


class KnativePlatform(LocalPlatform):
    """`ce-id` and `X-Request-Id` are the caller's words, so they name no attempt here either."""

    def routes(self, service: Service) -> Sequence[Route]:
        return (Route("/", _cloud_event(service), methods=["POST"]),)


def _cloud_event(service: Service) -> Any:
    """An event, answered by an event. Auth: as the contracts."""
    from farthing.serving.cloudevents import answer_event, read_event

    contract = service.contracts[0]

    async def endpoint(request: Request) -> Response:
        def work(body: bytes, envelope: Envelope) -> Response:
            event = read_event(request.headers, body)
            outcome = service.pipeline.invoke(contract, event.data, envelope)
            return respond(outcome) if outcome.status >= 400 else answer_event(event, outcome)

        return await handle(service, request, work)

    return endpoint
