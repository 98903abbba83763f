"""What only the platform knows of one invocation."""

from __future__ import annotations

import os
import time

import msgspec

from farthing.billing.recorders import Recorder
from farthing.billing.shares import Share
from farthing.serving.claims import Claims
from farthing.usage import NS_PER_MS


class Accepted(msgspec.Struct, frozen=True):
    """What an attempt at a job owes to the moment in which the job was accepted.

    `plan` is the id of its terms, `price_max_pico` what was quoted where that binds. `recorder`
    takes the attempt's entry: of all attempts at a job only the one that counts is its tenant's.
    """

    plan: str
    price_max_pico: int | None
    recorder: Recorder


class Envelope(msgspec.Struct, frozen=True):
    """Identity and bounds of one attempt.

    `request_id` is the platform's own, or generated; a caller's headers never name an attempt.
    `deadline_ns` is on the clock of `time.perf_counter_ns`. `memory_mb` is set where the platform
    states it per call. `share` is set where the platform's clock starts before the request is
    read; elsewhere the pipeline starts it. `caller` is what the key says, where access is by keys.
    `idempotency_key` is the caller's name for a request that may wait; `accepted` is set where one
    that waited is computed.
    """

    request_id: str
    deadline_ns: int
    tenant: str
    memory_mb: int | None = None
    share: Share | None = None
    caller: Claims | None = None
    idempotency_key: str = ""
    accepted: Accepted | None = None

    @property
    def remaining_ns(self) -> int:
        return self.deadline_ns - time.perf_counter_ns()


def generate_envelope(timeout_ms: int, tenant: str) -> Envelope:
    """An envelope for hosts that give an attempt no identity: Knative, a local server."""
    return Envelope(os.urandom(16).hex(), deadline_after(timeout_ms), tenant)


def deadline_after(timeout_ms: int) -> int:
    return time.perf_counter_ns() + timeout_ms * NS_PER_MS
