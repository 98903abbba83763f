"""A pipeline with a cache, and a model that counts what it computes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from farthing.billing import copies
from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.answerer import LetterModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farthing.serving.outcome import Outcome

CLASSIFY, EMBED = Classify(), Embeddings()
HOUR_MS = 3_600_000
UNTIL_S = 60
_opened: list[Cached] = []


class FoldingModel(LetterModel):
    """Tells no case and no outer space, and counts the texts that it computes."""

    def __init__(self, task: str) -> None:
        super().__init__(f"folding-{task}", task)
        self.computed = 0
        self.on_compute = self._count

    def prepare(self, texts: Any) -> Any:
        return super().prepare([self.normal(text) for text in texts])

    def normal(self, text: str) -> str:
        return text.strip().lower()

    def _count(self) -> None:
        self.computed += 1


class Cached:
    """A pipeline over two such models; the answers of one attempt are compared by their bodies."""

    def __init__(
        self, cache: str = "memory", environ: Mapping[str, str] | None = None, **overrides: object
    ) -> None:
        self.settings = read_settings(
            environ or {}, cache=cache, memory_mb=1024, arch="x86_64", **overrides
        )
        self.classifier, self.embedder = FoldingModel("classify"), FoldingModel("embed")
        models = {"classify": [self.classifier], "embed": [self.embedder]}
        meter = meter_of(read_price_book(), self.settings)
        self.pipeline = Pipeline(
            self.settings, models, meter, SharedTime(), Accounts(self.settings)
        )
        _opened.append(self)

    @property
    def cache(self) -> Any:
        """Another one in a child."""
        return self.pipeline.cache

    def classify(self, *inputs: str, tenant: str = "acme", **more: object) -> Outcome:
        return self._invoke(CLASSIFY, {"inputs": list(inputs), **more}, tenant)

    def embed(self, *inputs: str, tenant: str = "acme", **more: object) -> Outcome:
        return self._invoke(EMBED, {"input": list(inputs), **more}, tenant)

    def tally(self) -> Any:
        return self.cache.stats.read()

    def forget(self) -> None:
        """Leaves nothing in the process; what is kept elsewhere has been written."""
        assert self.cache.flush(UNTIL_S)
        self.cache._memory.close()

    def connected(self) -> Cached:
        """Itself, once the remote store is asked."""
        wait_until(lambda: self.cache.is_remote)
        return self

    def _invoke(self, contract: Any, payload: object, tenant: str) -> Outcome:
        envelope = Envelope("attempt-1", deadline_after(HOUR_MS), tenant)
        return self.pipeline.invoke(contract, payload, envelope)


def close_all() -> None:
    """Ends what all of them have begun, for good.

    One that is garbage, but not yet collected, would begin anew where a test takes this very
    process for a copy, and its keeper would try for ever to reach a server that is gone.
    """
    while _opened:
        pipeline = _opened.pop().pipeline
        copies._begin.pop(pipeline, None)
        if pipeline.cache is not None:
            pipeline.cache.close()


def wait_until(holds: Callable[[], bool], seconds: float = UNTIL_S) -> None:
    until_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until_s, "it does not come about"
        time.sleep(0.01)
