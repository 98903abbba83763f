"""What only the platform knows of one invocation."""

from __future__ import annotations

import os
import time

import msgspec

from farthing.billing.shares import Share
from farthing.serving.claims import Claims
from farthing.usage import NS_PER_MS


class Envelope(msgspec.Struct, frozen=True):
    """Identity and bounds of one attempt.

    `request_id` is the platform's own, or generated; a caller's headers never name an attempt.
    `deadline_ns` is on the clock of `time.perf_counter_ns`. `memory_mb` is set where the platform
    states it per call. `share` is set where the platform's clock starts before the request is
    read; elsewhere the pipeline starts it. `caller` is what the key says, where access is by keys.
    """

    request_id: str
    deadline_ns: int
    tenant: str
    memory_mb: int | None = None
    share: Share | None = None
    caller: Claims | None = None

    @property
    def remaining_ns(self) -> int:
        return self.deadline_ns - time.perf_counter_ns()


def generate_envelope(timeout_ms: int, tenant: str) -> Envelope:
    """An envelope for hosts that give an attempt no identity: Knative, a local server."""
    return Envelope(os.urandom(16).hex(), deadline_after(timeout_ms), tenant)


def deadline_after(timeout_ms: int) -> int:
    return time.perf_counter_ns() + timeout_ms * NS_PER_MS
