"""An invocation between its admission and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.serving.cache.answering import CachedAnswerer, CachedWork
from farthing.serving.instance import Counted
from farthing.serving.ports import Computation

if TYPE_CHECKING:
    from farthing.billing.leases import Hold
    from farthing.billing.shares import Share
    from farthing.serving.accounts import Terms
    from farthing.serving.envelope import Envelope
    from farthing.serving.pace import Pace
    from farthing.serving.ports import Answerer, Contract


class Call:
    """What is asked, of whom, on which terms, and what of it is left to compute."""

    __slots__ = (
        "answerer", "contract", "counted", "envelope", "hold", "pace", "prepared_ns", "request",
        "share", "started_ns", "terms", "work",
    )  # fmt: skip

    def __init__(
        self,
        contract: Contract,
        request: Any,
        answerer: Answerer,
        work: Any,
        envelope: Envelope,
        share: Share,
        terms: Terms,
        pace: Pace,
    ) -> None:
        self.contract = contract
        self.request = request
        self.answerer = answerer
        self.work = work
        self.envelope = envelope
        self.share = share
        self.terms = terms
        self.pace = pace
        self.hold: Hold | None = None
        self.started_ns = self.prepared_ns = 0
        is_cached = isinstance(work, CachedWork)
        self.counted: Counted = work.counted if is_cached else Counted(work.tokens, work.truncated)

    @property
    def tokens_left(self) -> int:
        """What is to be computed; the cache has the others."""
        return self.counted.tokens - self.counted.cached_tokens

    @property
    def is_answered(self) -> bool:
        """Whether the cache had it all."""
        return isinstance(self.work, CachedWork) and self.work.rest is None

    def computation(self) -> Computation:
        """What is left to compute, for a batcher."""
        answerer, work, keys = self.answerer, self.work, ()
        if isinstance(answerer, CachedAnswerer):
            answerer, work, keys = answerer.answerer, work.rest, work.keys
        return Computation(
            answerer,
            work,
            self.pace.guard(self.envelope),
            self.share,
            self.envelope.tenant,
            self.envelope.deadline_ns,
            keys,
            is_low=self.envelope.accepted is not None,
        )

    def complete(self, computed: Any) -> Any:
        """The result of all the work, given that of its computation."""
        if isinstance(self.answerer, CachedAnswerer):
            return self.answerer.complete(self.work, computed)
        return computed
