"""Knative: HTTP as it is, and CloudEvents at the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from farthing.serving.exchange import Asked, Reply, reply_with
from farthing.serving.http import Endpoint
from farthing.serving.pings import answer_ping, carried
from farthing.serving.platforms import LocalPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farthing.serving.envelope import Envelope
    from farthing.serving.outcome import Outcome
    from farthing.serving.service import Service

# https://knative.dev/docs/eventing/sources/ping-source/
PING_TYPE = "dev.knative.sources.ping"


class KnativePlatform(LocalPlatform):
    """`ce-id` and `X-Request-Id` are the caller's words, so they name no attempt here."""

    def routes(self, service: Service) -> Sequence[Route]:
        return (Route("/", _cloud_event(service), methods=["POST"]),)


def _cloud_event(service: Service) -> Endpoint:
    """An event, answered by an event. Auth: as the contracts; where those ask for keys, which
    Knative's schedules have none of, nothing is a ping."""
    contract = service.contracts[0]

    def read(body: bytes, headers: Mapping[str, str], envelope: Envelope) -> Asked | Reply:
        # 10 ms of imports that a cold start by plain HTTP does not owe.
        from farthing.serving.cloudevents import answer_event, read_event

        event = read_event(headers, body)
        if event.type == PING_TYPE and service.keys is None:
            pong = answer_ping(service.pipeline, carried(event.data), envelope, holds=False)
            if pong is not None:
                # A body would have to be an event, and a Broker would deliver that onwards.
                return Reply(200, pong.headers, b"") if pong.status < 400 else reply_with(pong)

        def told(outcome: Outcome) -> Reply:
            return reply_with(outcome) if outcome.status >= 400 else answer_event(event, outcome)

        return Asked(event.data, told)

    return Endpoint(service, contract, reads=read)
