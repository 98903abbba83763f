"""Knative: HTTP as it is, and CloudEvents at the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from farthing.serving.exchange import Reply, reply_with
from farthing.serving.http import Endpoint
from farthing.serving.platforms import LocalPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farthing.serving.envelope import Envelope
    from farthing.serving.service import Service


class KnativePlatform(LocalPlatform):
    """`ce-id` and `X-Request-Id` are the caller's words, so they name no attempt here."""

    def routes(self, service: Service) -> Sequence[Route]:
        return (Route("/", _cloud_event(service), methods=["POST"]),)


def _cloud_event(service: Service) -> Endpoint:
    """An event, answered by an event. Auth: as the contracts."""
    contract = service.contracts[0]

    def work(body: bytes, headers: Mapping[str, str], envelope: Envelope) -> Reply:
        # 10 ms of imports that a cold start by plain HTTP does not owe.
        from farthing.serving.cloudevents import answer_event, read_event

        event = read_event(headers, body)
        outcome = service.pipeline.invoke(contract, event.data, envelope)
        return reply_with(outcome) if outcome.status >= 400 else answer_event(event, outcome)

    return Endpoint(service, work)
