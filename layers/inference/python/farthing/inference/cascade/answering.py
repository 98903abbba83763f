"""Classifiers one after another, each asked only what those before it were not sure of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farthing.inference.cascade.manifest import FoundCascade
    from farthing.inference.heads import Floats
    from farthing.inference.tasks import Prepared, TextModel


class CascadeWork(NamedTuple):
    """Texts ready for the first stage; later ones encode what reaches them.

    A text counts what the first stage counts, so what is sold by the token costs the same
    whichever model answers.
    """

    texts: Sequence[str]
    first: Prepared

    @property
    def counts(self) -> Sequence[tuple[int, bool]]:
        """For each text its tokens, and whether it was cut."""
        return self.first.counts

    @property
    def tokens(self) -> int:
        return self.first.tokens

    @property
    def truncated(self) -> int:
        return self.first.truncated


class CascadeRows:
    """Probabilities, and who gave them.

    `whole` is [texts, labels + 1], float32: the last number is that of the stage that answered,
    from 0, so a row that was kept still tells. `stages_ns` is how long each model took that was
    asked now, by name and in order.
    """

    def __init__(self, whole: Floats, names: Sequence[str], stages_ns: Mapping[str, int]) -> None:
        self.whole = whole
        self.stages_ns = stages_ns
        self._names = names

    @property
    def models(self) -> dict[str, int]:
        """How many texts each model answered, in the order of the stages; only those that did."""
        counts = np.bincount(self.whole[:, -1].astype(np.int64), minlength=len(self._names))
        return {name: int(count) for name, count in zip(self._names, counts, strict=True) if count}

    def tolist(self) -> list[list[float]]:
        """The probabilities alone."""
        scores: list[list[float]] = self.whole[:, :-1].tolist()
        return scores

    def tobytes(self) -> bytes:
        return self.whole.tobytes()

    def __getitem__(self, key: Any) -> Any:
        return self.whole[key]

    def __len__(self) -> int:
        return len(self.whole)


class Cascade:
    """Answers as one model; each text's row is that of the first stage that is sure of it.

    Stages run as their bundles allow, so an answer does not depend on what shares its call.
    """

    task = "classify"

    def __init__(self, found: FoundCascade, models: Sequence[TextModel]) -> None:
        self.digest, self.manifest = found
        self.name = self.manifest.name
        self.labels = self.manifest.labels
        self.dims = len(self.labels) + 1
        self.models = tuple(models)
        self._names = [stage.bundle for stage in self.manifest.stages]

    def describe(self) -> dict[str, object]:
        """What a list of models says of this one."""
        manifest = self.manifest
        return {
            "task": manifest.task,
            "dims": len(manifest.labels),
            "max_tokens": self.models[0].manifest.max_tokens,
            "labels": manifest.labels,
            "bytes": sum(model.bundle.size_bytes for model in self.models),
            "digest": self.digest,
            "accuracy": manifest.accuracy,
            "stages": manifest.stages,
            "licence": manifest.licence,
            "origin": manifest.origin,
        }

    def prepare(self, texts: Sequence[str]) -> CascadeWork:
        """The texts as the first stage's inputs, and their tokens; nothing is run."""
        return CascadeWork(texts, self.models[0].prepare(texts))

    def compute(
        self, work: CascadeWork, *, before_batch: Callable[[int], None] | None = None
    ) -> CascadeRows:
        """A row for each text, in order; `before_batch` as of `TextModel.compute`."""
        whole = np.empty((len(work.texts), self.dims), dtype=np.float32)
        stages_ns: dict[str, int] = {}
        left = np.arange(len(work.texts))
        last = len(self.models) - 1
        prepared = work.first
        for number, (stage, model) in enumerate(
            zip(self.manifest.stages, self.models, strict=True)
        ):
            started_ns = time.perf_counter_ns()
            if number:
                prepared = model.prepare([work.texts[index] for index in left.tolist()])
            scores = model.compute(prepared, before_batch=before_batch)
            is_sure = scores.max(axis=1) >= stage.sure_from
            if number == last:
                is_sure[:] = True
            whole[left[is_sure], :-1] = scores[is_sure]
            whole[left[is_sure], -1] = number
            stages_ns[stage.bundle] = time.perf_counter_ns() - started_ns
            left = left[~is_sure]
            if not len(left):
                break
        return CascadeRows(whole, self._names, stages_ns)

    def normal(self, text: str) -> str:
        """The text without what every stage ignores; lengths keep the forms apart."""
        forms = (model.normal(text) for model in self.models)
        return "".join(f"{len(form)}:{form}" for form in forms)

    def assemble(
        self, kept: Sequence[bytes | None], rows: CascadeRows | Floats | None
    ) -> CascadeRows:
        """Rows in order: those kept, as the bytes of their float32, else the next of `rows`."""
        whole = np.empty((len(kept), self.dims), dtype=np.float32)
        computed = iter(() if rows is None else (rows[at] for at in range(len(rows))))
        for index, row in enumerate(kept):
            whole[index] = next(computed) if row is None else np.frombuffer(row, np.float32)
        return CascadeRows(whole, self._names, getattr(rows, "stages_ns", {}))
