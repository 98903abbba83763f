"""The instance that serves: its size, its clock, and what its first invocation carries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from farthing.usage import Usage

if TYPE_CHECKING:
    from farthing.billing.shares import Share, SharedTime
    from farthing.serving.envelope import Envelope
    from farthing.settings import Settings
    from farthing.usage import CacheState


class Counted(NamedTuple):
    """What an invocation's inputs count, and how much of that the cache answered."""

    tokens: int = 0
    truncated: int = 0
    cached_tokens: int = 0
    cache: CacheState = "off"


NOTHING = Counted()


class Instance:
    """Turns what a call counted into its `Usage`."""

    def __init__(self, settings: Settings, shared: SharedTime) -> None:
        self._settings = settings
        self._shared = shared
        self._first = threading.Lock()
        self._init_ns = 0
        self._restored = False

    def started(self, init_ns: int) -> None:
        """It took this long to start; the first invocation carries it."""
        self._init_ns = init_ns

    def snapshot(self) -> None:
        """It is a copy, or about to be copied; each copy's first invocation carries its restore."""
        self._restored = True

    def arrive(self) -> Share:
        """The share of an invocation that is here from now on."""
        return self._shared.enter()

    def idle(self, envelope: Envelope) -> Usage:
        """The time since the last call of this in which nobody was present."""
        return self._sized(envelope, NOTHING, self._shared.take_idle_ns(), 0, restored=False)

    def expected(self, envelope: Envelope, counted: Counted, busy_ns: int) -> Usage:
        """What an invocation would use that is busy for so long, were it the next one."""
        return self._sized(envelope, counted, busy_ns, self._init_ns, restored=self._restored)

    def expected_warm(self, envelope: Envelope, counted: Counted, busy_ns: int) -> Usage:
        """The same of one that nothing is to be started for."""
        return self._sized(envelope, counted, busy_ns, 0, restored=False)

    def spent(self, envelope: Envelope, counted: Counted, share: Share) -> Usage:
        """What the invocation used; its share ends here."""
        with self._first:
            init_ns, self._init_ns = self._init_ns, 0
            restored, self._restored = self._restored, False
        return self._sized(envelope, counted, share.leave(), init_ns, restored=restored)

    def _sized(
        self, envelope: Envelope, counted: Counted, busy_ns: int, init_ns: int, *, restored: bool
    ) -> Usage:
        settings = self._settings
        tokens, truncated, cached_tokens, cache = counted
        return Usage(
            prompt_tokens=tokens,
            truncated=truncated,
            busy_ns=busy_ns,
            init_ns=init_ns,
            memory_mb=envelope.memory_mb or settings.memory_mb,
            vcpu_milli=settings.vcpu_milli,
            disk_mb=settings.disk_mb,
            cold=init_ns > 0 or restored,
            restored=restored,
            cache=cache,
            cached_tokens=cached_tokens,
        )
