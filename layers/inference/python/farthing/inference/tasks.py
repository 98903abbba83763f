"""What a bundle does with texts: classify them or turn them into vectors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from farthing.errors import BundleMissing
from farthing.inference.bundle import Bundle, find_bundles
from farthing.inference.encoders import open_encoder
from farthing.inference.heads import first_token, mean_pool, softmax, unit_length
from farthing.inference.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from farthing.inference.encoders import Encoded
    from farthing.inference.heads import Floats
    from farthing.settings import Settings

BATCH_TEXTS = 32


class Prepared(NamedTuple):
    """Texts encoded, counted and ready to compute."""

    texts: Sequence[Encoded]
    tokens: int
    truncated: int


class TextModel:
    """A bundle ready to answer: encoder, session and head.

    Texts share a batch only when the bundle's manifest proves that sharing changes nothing;
    otherwise each text is run alone, unpadded.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._encoder = open_encoder(bundle)
        self._session = Session(bundle.model_file, threads)
        self._batch_texts = BATCH_TEXTS if bundle.manifest.batch_drift.is_zero else 1

        self.name = bundle.manifest.name
        self.task: str = bundle.manifest.task
        self.dims = bundle.manifest.dims
        self.labels = bundle.manifest.labels

    def describe(self) -> dict[str, object]:
        """What a list of models says of this one."""
        manifest = self.manifest
        return {
            "task": manifest.task,
            "dims": manifest.dims,
            "max_tokens": manifest.max_tokens,
            "labels": manifest.labels,
            "bytes": self.bundle.size_bytes,
            "digest": self.bundle.digest,
            "accuracy": manifest.accuracy,
            "quantisation": manifest.quantisation,
            "licence": manifest.licence,
            "origin": manifest.origin,
        }

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """The texts as the model's inputs, and their tokens; nothing is run."""
        encoded = self._encoder.encode(texts)
        return Prepared(
            encoded,
            tokens=sum(text.tokens for text in encoded),
            truncated=sum(text.was_truncated for text in encoded),
        )

    def compute(
        self,
        prepared: Prepared,
        *,
        batch_texts: int | None = None,
        before_batch: Callable[[int], None] | None = None,
    ) -> Floats:
        """One row per text, [texts, dims], in the order of the texts.

        `before_batch` is called with each run's tokens ahead of it and may raise to stop.
        `batch_texts` asks for batches of just so many, whatever their length, as only evaluation
        has reason to; left out, the bundle's own batches are bounded by length too.
        """
        rows = np.empty((len(prepared.texts), self.manifest.dims), dtype=np.float32)
        ids_max = self._encoder.batch_ids_max if batch_texts is None else sys.maxsize
        texts_max = batch_texts or self._batch_texts
        for indices in _batches(prepared.texts, texts_max, ids_max):
            batch = [prepared.texts[index] for index in indices]
            if before_batch is not None:
                before_batch(sum(text.tokens for text in batch))
            inputs = self._encoder.inputs(batch)
            rows[indices] = self._head(self._session.run(inputs), inputs)
        return rows

    def unknown_share(self, texts: Sequence[str]) -> float:
        """How much of the texts the model has no entry for, 0 to 1.

        Unknown tokens out of all; for a linear model words without any known n-gram.
        """
        return self._encoder.unknown_share(texts)

    def _head(self, output: Floats, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        raise NotImplementedError


class Classifier(TextModel):
    """Probabilities over the manifest's labels."""

    def scores(self, texts: Sequence[str], batch_texts: int | None = None) -> Floats:
        """Softmax probabilities, [texts, labels]."""
        return self.compute(self.prepare(texts), batch_texts=batch_texts)

    def _head(self, output: Floats, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        return softmax(output)


class Embedder(TextModel):
    """Sentence vectors, pooled and scaled as the manifest says."""

    def vectors(self, texts: Sequence[str], batch_texts: int | None = None) -> Floats:
        """Vectors, [texts, dims]; of length 1 when the manifest says `normalize`."""
        return self.compute(self.prepare(texts), batch_texts=batch_texts)

    def _head(self, output: Floats, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        pools_mean = self.manifest.pooling == "mean"
        pooled = mean_pool(output, inputs["attention_mask"]) if pools_mean else first_token(output)
        return unit_length(pooled) if self.manifest.normalize else pooled


def _batches(texts: Sequence[Encoded], texts_max: int, ids_max: int) -> Iterator[list[int]]:
    """Indices in groups of similar length, so that little time goes into padding.

    A group has at most `texts_max` texts and, padding included, `ids_max` ids, but for a text
    that has more by itself.
    """
    batch: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: len(texts[index].ids)):
        padded_ids = (len(batch) + 1) * len(texts[index].ids)
        if batch and (len(batch) == texts_max or padded_ids > ids_max):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


TASKS = {"classify": Classifier, "embed": Embedder}


def open_task(bundle: Bundle, threads: int = 1) -> TextModel:
    """The bundle, loaded as its task's model."""
    return TASKS[bundle.manifest.task](bundle, threads)


def open_models(task: str, settings: Settings) -> list[TextModel]:
    """Every bundle of the task that the settings name, or all there are; the first is the default.

    Raises `BundleMissing` when there is none.
    """
    found = {manifest.name: (path, manifest) for path, manifest in find_bundles(settings.models)}
    of_task = sorted(name for name, (_, manifest) in found.items() if manifest.task == task)
    unknown = [name for name in settings.model if name not in found]
    names = [name for name in settings.model if name in of_task] or of_task
    if unknown or not names:
        raise BundleMissing(
            f"{settings.models} holds {', '.join(sorted(found)) or 'no bundle'}; asked for was "
            f"{', '.join(unknown) or f'one for the task {task}'}. "
            "Build it with `make bundles`, or point FARTHING_MODELS at a folder of bundles."
        )
    digest = settings.bundle_digest
    return [
        open_task(Bundle.open(found[name][0], digest), settings.threads_per_call) for name in names
    ]
