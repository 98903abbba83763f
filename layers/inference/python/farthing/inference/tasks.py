"""What a bundle does with texts: classify them or turn them into vectors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from farthing.errors import BundleMissing
from farthing.inference.bundle import Bundle, find_bundles
from farthing.inference.cascade.answering import Cascade
from farthing.inference.cascade.manifest import check_cascade, find_cascades
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

    @property
    def counts(self) -> list[tuple[int, bool]]:
        """For each text its tokens, and whether the window cut it."""
        return [(text.tokens, text.was_truncated) for text in self.texts]


class TextModel:
    """A bundle ready to answer: encoder, session and head.

    Texts share a run only as the bundle's manifest proves that sharing changes nothing (see
    `BatchDrift.sharing`); otherwise each text is run alone, unpadded.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._encoder = open_encoder(bundle)
        self._session = Session(bundle.model_file, threads)
        self.sharing = bundle.manifest.batch_drift.sharing
        self.batch_ids_max = self._encoder.batch_ids_max

        self.name = bundle.manifest.name
        self.task: str = bundle.manifest.task
        self.dims = bundle.manifest.dims
        self.labels = bundle.manifest.labels
        self.digest = bundle.digest

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
        if batch_texts is None:
            texts_max = 1 if self.sharing == "alone" else BATCH_TEXTS
            batches = _batches(
                prepared.texts, texts_max, self.batch_ids_max, pads=self.sharing == "padded"
            )
        else:
            batches = _batches(prepared.texts, batch_texts, sys.maxsize, pads=True)
        for indices in batches:
            batch = [prepared.texts[index] for index in indices]
            if before_batch is not None:
                before_batch(sum(text.tokens for text in batch))
            rows[indices] = self.run(batch)
        return rows

    def run(self, texts: Sequence[Encoded]) -> Floats:
        """One row per text, [texts, dims], of a single run that they share, whatever their
        lengths; who asks heeds `sharing`.
        """
        inputs = self._encoder.inputs(texts)
        return self._head(self._session.run(inputs), inputs)

    def normal(self, text: str) -> str:
        """The text without what the encoder ignores: equal ones have equal rows."""
        return self._encoder.normal(text)

    def assemble(self, kept: Sequence[bytes | None], rows: Floats | None) -> Floats:
        """Rows in order: those kept, as the bytes of their float32, else the next of `rows`."""
        whole = np.empty((len(kept), self.dims), dtype=np.float32)
        computed = iter(()) if rows is None else iter(rows)
        for index, row in enumerate(kept):
            whole[index] = next(computed) if row is None else np.frombuffer(row, np.float32)
        return whole

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


def _batches(
    texts: Sequence[Encoded], texts_max: int, ids_max: int, *, pads: bool
) -> Iterator[list[int]]:
    """Indices in groups of similar length, so that little time goes into padding.

    A group has at most `texts_max` texts and, padding included, `ids_max` ids, but for a text
    that has more by itself. Without `pads` its texts are of one length.
    """
    batch: list[int] = []
    lengths = [len(text.ids) for text in texts]
    for index in sorted(range(len(texts)), key=lengths.__getitem__):
        length = lengths[index]
        is_full = len(batch) == texts_max or (len(batch) + 1) * length > ids_max
        if batch and (is_full or (not pads and length != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


TASKS = {"classify": Classifier, "embed": Embedder}


def open_task(bundle: Bundle, threads: int = 1) -> TextModel:
    """The bundle, loaded as its task's model."""
    return TASKS[bundle.manifest.task](bundle, threads)


def open_models(task: str, settings: Settings) -> list[TextModel | Cascade]:
    """All of the task that the settings name, or all there are; the first is the default.

    A bundle that is served by itself and as the stage of a cascade is loaded once. Raises
    `BundleMissing` when there is none, and where a stage is not there.
    """
    bundles = {manifest.name: (path, manifest) for path, manifest in find_bundles(settings.models)}
    cascades = {found.manifest.name: found for found in find_cascades(settings.models)}
    tasks = {name: manifest.task for name, (_, manifest) in bundles.items()}
    tasks |= {name: found.manifest.task for name, found in cascades.items()}
    of_task = sorted(name for name in tasks if tasks[name] == task)
    unknown = [name for name in settings.model if name not in tasks]
    names = [name for name in settings.model if name in of_task] or of_task
    if unknown or not names:
        raise BundleMissing(
            f"{settings.models} holds {', '.join(sorted(tasks)) or 'no bundle'}; asked for was "
            f"{', '.join(unknown) or f'one for the task {task}'}. "
            "Build it with `make bundles`, or point FARTHING_MODELS at a folder of bundles."
        )
    folders = {name: path for name, (path, _) in bundles.items()}
    loaded: dict[str, TextModel] = {}

    def load(name: str, digest: str | None) -> TextModel:
        bundle = Bundle.open(folders[name], digest)
        if bundle.digest not in loaded:
            loaded[bundle.digest] = open_task(bundle, settings.threads_per_call)
        return loaded[bundle.digest]

    def open_one(name: str) -> TextModel | Cascade:
        if name not in cascades:
            return load(name, settings.bundle_digest)
        found = cascades[name]
        check_cascade(found, folders, settings.bundle_digest)
        stages = [load(stage.bundle, stage.digest) for stage in found.manifest.stages]
        return Cascade(found, stages)

    return [open_one(name) for name in names]
