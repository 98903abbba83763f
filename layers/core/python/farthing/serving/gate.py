"""Who comes in before a body is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from farthing.deadlines import RETRY_AFTER_S
from farthing.errors import Overloaded, Refusal, TooManyWaiting
from farthing.serving.exchange import authorised, reply_with
from farthing.usage import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farthing.serving.envelope import Envelope
    from farthing.serving.exchange import Reply
    from farthing.serving.service import Service

# For so long after a refusal others are expected, and asked about as soon as headers are there.
PRESSED_NS = 1_000_000_000
# Calls that wait for a thread, or for a store, before they come to the batcher's queue.
BEGINNING_MAX = 64
# Of the time that a call may wait, so much may pass before it is read: one part in so many, but
# as long as a slow machine may take by itself.
LAG_PARTS = 4
LAG_NS = 100 * NS_PER_MS
# The name under which a server's connections find theirs in its lifespan's state.
SHUTTER = "farthing.shutter"


class Gate:
    """The checks that need no body: who calls, until when, and whether there is room.

    `is_trusted` is for what only the platform sends.
    """

    def __init__(self, service: Service, *, is_trusted: bool = False) -> None:
        self._service = service
        self._is_trusted = is_trusted

    def admit(self, headers: Mapping[str, str], envelope: Envelope) -> Envelope:
        """The envelope with what the headers say of it.

        Raises `Unauthorized`, `InvalidRequest`, `Overloaded` and `TooManyWaiting`.
        """
        service = self._service
        if not self._is_trusted:
            envelope = authorised(service, headers, envelope)
        batcher = service.pipeline.batcher
        if batcher is not None:
            try:
                self._require_time()
                batcher.admit(envelope.tenant, envelope.deadline_ns)
            except (Overloaded, TooManyWaiting):
                service.pressed_until_ns = time.perf_counter_ns() + PRESSED_NS
                service.lag.watch(service.pressed_until_ns)
                raise
        return envelope

    def _require_time(self) -> None:
        """Raises `Overloaded` where calls wait too long before they come to the batcher's queue."""
        service = self._service
        if service.beginning >= BEGINNING_MAX:
            raise Overloaded(
                f"{service.beginning} calls wait to be begun, as many as may. Try again later.",
                retry_after=RETRY_AFTER_S,
            )
        # A loop is late for other reasons, too, and is only watched while it turns callers away.
        if service.lag.ns > max(LAG_NS, service.settings.queue_max_ms * NS_PER_MS // LAG_PARTS):
            raise Overloaded(
                "More calls come in than can be read in time. Try again later.",
                retry_after=RETRY_AFTER_S,
            )


class Shutter:
    """Turns callers of contracts away at their headers' end, without the application.

    A server's connections ask it: what a refusal costs is what an overloaded server has least of.
    One took 74 µs of processor time this way, reading, writing and booking it included, and 95 µs
    by the application.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._paths = {contract.path.encode() for contract in service.contracts}
        self._gate = Gate(service)

    @property
    def is_pressed(self) -> bool:
        """Whether callers were turned away a moment ago."""
        return time.perf_counter_ns() < self._service.pressed_until_ns

    def guards(self, method: bytes, path: bytes) -> bool:
        return method == b"POST" and path in self._paths

    def turn_away(self, scope: Mapping[str, Any], because: Refusal | None = None) -> Reply | None:
        """The refusal of a call, `because` or for want of room; None for one that may come in."""
        pipeline = self._service.pipeline
        envelope = self._service.platform.envelope(scope)
        if because is not None:
            return reply_with(pipeline.refuse(because, envelope))
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            self._gate.admit(headers, envelope)
        except Refusal as refusal:
            # Told here: kept beyond the clause it would hold its own traceback, as garbage.
            return reply_with(pipeline.refuse(refusal, envelope))
        return None
