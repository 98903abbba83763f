"""Knative: HTTP as it is, and CloudEvents at the root; a local server has no events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from farthing.errors import Refusal
from farthing.serving.envelope import Envelope, generate_envelope
from farthing.serving.http import CLIENT_CLOSED_REQUEST, authorised, read_body, respond

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    async def endpoint(request: Request) -> Response:
        envelope = service.platform.envelope(request.scope)
        try:
            envelope = authorised(service, request, envelope)
            body = await read_body(request, service.settings.payload_max_bytes)
            event = read_event(request.headers, body)
        except Refusal as refusal:
            return respond(service.pipeline.refuse(refusal, envelope))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        contract = service.contracts[0]

        def work() -> Response:
            outcome = service.pipeline.invoke(contract, event.data, envelope)
            return respond(outcome) if outcome.status >= 400 else answer_event(event, outcome)

        return await service.run(work)

    return endpoint
