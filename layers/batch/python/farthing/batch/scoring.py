"""A job's model, loaded, and what it makes of texts: the same for a text whatever is beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from farthing.batch.bundles import bundle_of
from farthing.inference.tasks import open_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.batch.job import Job
    from farthing.inference.heads import Floats
    from farthing.inference.tasks import TextModel
    from farthing.settings import Settings


class Scored(NamedTuple):
    """A row of probabilities or a vector for each text, [texts, dims], and what they counted.

    `failed` are the texts that the model failed at, by place, with the reason; their rows are 0.
    """

    values: Floats
    tokens: int
    truncated: int
    failed: dict[int, str]


class Scorer:
    """Texts are computed beside others as far as the bundle's manifest proves that no bit of an
    answer depends on its company.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self.dims = model.dims
        self.labels = model.labels

    @classmethod
    def open(cls, job: Job, settings: Settings, threads: int = 1) -> Scorer:
        """The job's model; `threads` is how many cores it may use.

        Raises `BundleMissing`, and `BundleCorrupt` where it is not the one that was planned for.
        """
        return cls(open_task(bundle_of(job, settings), threads))

    def score(self, texts: Sequence[str]) -> Scored:
        """What the model makes of the texts, in their order; [0, dims] for none.

        A text that makes it fail takes no other with it: halves are tried until it is alone.
        """
        try:
            prepared = self._model.prepare(texts)
            values = self._model.compute(prepared)
        except Exception as error:
            if len(texts) > 1:
                middle = len(texts) // 2
                return _joined(self.score(texts[:middle]), self.score(texts[middle:]))
            # Then it is the machine that failed.
            if not texts or isinstance(error, MemoryError):
                raise
            reason = f"the model failed at it ({type(error).__name__})"
            return Scored(np.zeros((1, self.dims), np.float32), 0, 0, {0: reason})
        failed = {}
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            places = np.flatnonzero(~finite)
            failed = dict.fromkeys(places.tolist(), "the model gave no number for it")
            values[places] = 0
        return Scored(values, prepared.tokens, prepared.truncated, failed)


def _joined(first: Scored, second: Scored) -> Scored:
    shifted = {len(first.values) + place: reason for place, reason in second.failed.items()}
    return Scored(
        np.concatenate([first.values, second.values]),
        first.tokens + second.tokens,
        first.truncated + second.truncated,
        first.failed | shifted,
    )
