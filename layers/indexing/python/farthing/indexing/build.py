"""From a user's file to a published index: streamed, on several cores, and resumable."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from farthing.errors import PublishConflict
from farthing.indexing.catalogue import Catalogue
from farthing.indexing.embedding import EmbeddingPool
from farthing.indexing.memory import give_back
from farthing.indexing.options import draft, silent
from farthing.indexing.spool import VectorSpool
from farthing.indexing.unfinished import FOLDER, Finished, Unfinished
from farthing.search.documents import embedded_text
from farthing.search.errors import CatalogueInvalid
from farthing.search.manifest import FORMAT, MANIFEST_FILE
from farthing.search.publishing import publish, read_manifest, spare
from farthing.search.segments.segment import Segment
from farthing.search.statistics import field_terms, with_segments
from farthing.search.workplace import segment_writer
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from farthing.indexing.options import BuildOptions, Progress
    from farthing.inference.bundle import Bundle
    from farthing.search.manifest import IndexManifest
    from farthing.search.segments.documents import Document
    from farthing.search.segments.writer import SegmentWriter

    Halves = NDArray[np.float16]
    Batch = list[Document]

# What goes to a core at once: a second or two of work. Texts of a length are computed together,
# and among 2,048 titles 1.5 % of that is padding, among 512 5 %. The bounds are part of the result,
# as what is computed together decides how sums are rounded: they are the same for any `workers`.
BATCH_ROWS = 2048
BATCH_CHARS = 131_072


class Built(NamedTuple):
    """The published manifest, and how it came about.

    `skipped` rows had no text. `embedded` documents took `seconds` from the first look at the file
    to the publishing; the others were there from a build that was stopped.
    """

    manifest: IndexManifest
    skipped: int
    embedded: int
    seconds: float
    resumed: bool


def build(
    file: Path,
    out: Path,
    bundle: Bundle,
    options: BuildOptions,
    progress: Progress = silent,
    afterwards: Callable[[IndexManifest], object] = lambda manifest: None,
) -> Built:
    """An index of the file's documents in the folder `out`.

    A build that was stopped goes on where it was when it is asked for again. `afterwards` is
    called when the index is published and belongs to the build: it is called again where it did
    not come to its end.

    Raises `CatalogueInvalid` for what cannot be indexed, and where something else is in `out`;
    `BuildStopped` where another process is building there.
    """
    started = time.perf_counter()
    planned = draft(out, bundle, options)
    _check_out(out, overwrite=options.overwrite)
    catalogue = Catalogue(file, planned, cut_long=options.cut_long)
    survey = catalogue.survey(lambda rows: progress("Reading", rows, None))
    planned = msgspec.structs.replace(planned, origin=f"{file.name} sha256:{survey.sha256}")
    plan = _digest_of(planned, options)
    embedded = 0
    with Unfinished(out, plan, overwrite=options.overwrite) as state:
        if state.done.version is None:
            with EmbeddingPool(bundle, options.workers) as pool:
                making = _Making(planned, catalogue, state, options.segment_rows)
                for documents in making.segments(pool):
                    progress("Embedding", documents, survey.documents)
                embedded = making.embedded
            _check_unchanged(catalogue, survey.documents, state.rows)
            state.published(_publish(out, planned, state, overwrite=options.overwrite).version)
        seconds = time.perf_counter() - started
        afterwards(read_manifest(LocalStorage(out)))
        state.remove()
    return Built(read_manifest(LocalStorage(out)), survey.skipped, embedded, seconds, state.resumed)


class _Making:
    """Segments in the making: each holds the next documents of the file, batch by batch."""

    def __init__(
        self, index: IndexManifest, catalogue: Catalogue, state: Unfinished, segment_rows: int
    ) -> None:
        self._index = index
        self._catalogue = catalogue
        self._state = state
        self._segment_rows = segment_rows
        # As many in each, so that segments fill up.
        self._batch_rows = segment_rows // -(-segment_rows // BATCH_ROWS)
        self.embedded = 0

    def segments(self, pool: EmbeddingPool) -> Iterator[int]:
        """Writes what is missing; gives the number of documents that are embedded, now and then."""
        rows = self._state.rows
        batches = self._batches(islice(self._catalogue.documents(), rows, None))
        writer = None
        with closing(VectorSpool(self._state.spool, self._index.embedder.dims)) as spool:
            try:
                for batch, vectors in self._with_vectors(batches, spool, pool):
                    writer = writer or segment_writer(self._state.folder, self._index)
                    for document, vector in zip(batch, vectors.astype(np.float32), strict=True):
                        writer.add(document, vector)
                    rows += len(batch)
                    yield rows
                    if writer.is_full or writer.rows > self._segment_rows - self._batch_rows:
                        self._finish(writer, spool)
                        writer = None
                if writer:
                    self._finish(writer, spool)
            finally:
                if writer:
                    writer.close()

    def _with_vectors(
        self, batches: Iterator[Batch], spool: VectorSpool, pool: EmbeddingPool
    ) -> Iterator[tuple[Batch, Halves]]:
        # Never past the segment: the spool holds the batches of one only.
        known = list(islice(batches, spool.batches))
        yield from zip(known, spool.read(), strict=False)
        for batch, vectors in pool.embed(batches, _texts):
            self.embedded += len(batch)
            spool.append(vectors)
            yield batch, vectors

    def _batches(self, documents: Iterator[Document]) -> Iterator[Batch]:
        batch: Batch = []
        chars = 0
        for document in documents:
            batch.append(document)
            chars += len(embedded_text(document))
            if len(batch) == self._batch_rows or chars > BATCH_CHARS:
                yield batch
                batch, chars = [], 0
        if batch:
            yield batch

    def _finish(self, writer: SegmentWriter, spool: VectorSpool) -> None:
        give_back()
        entry = writer.finish()
        give_back()
        segment = Segment.open(self._state.folder, entry, self._index, verify=False)
        self._state.add(Finished(entry, field_terms(segment)))
        spool.next(self._state.spool)


def _texts(batch: Batch) -> list[str]:
    return [embedded_text(document) for document in batch]


def _check_out(out: Path, *, overwrite: bool) -> None:
    if (out / FOLDER).exists() or not out.exists():
        return
    if (out / MANIFEST_FILE).exists():
        if not overwrite:
            raise CatalogueInvalid(
                f"{out} holds an index already. Replace it with --overwrite, add to it with "
                "`farthing index add`, or name another folder with --out."
            )
    elif not out.is_dir() or any(out.iterdir()):
        raise CatalogueInvalid(
            f"{out} holds something that is no index. Name an empty or a new folder with --out."
        )


def _check_unchanged(catalogue: Catalogue, surveyed: int, indexed: int) -> None:
    if surveyed != indexed:
        raise CatalogueInvalid(
            f"{catalogue.file.name} had {surveyed} documents when it was checked, and {indexed} "
            "when it was read. Build again when it is no longer written to."
        )


def _digest_of(planned: IndexManifest, options: BuildOptions) -> str:
    """What stands for everything that decides the segments."""
    facts = (FORMAT, planned, options.cut_long, options.segment_rows, BATCH_ROWS, BATCH_CHARS)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _publish(
    out: Path, planned: IndexManifest, state: Unfinished, *, overwrite: bool
) -> IndexManifest:
    finished = state.done.finished
    for each in finished:
        spare(LocalStorage(out), f"segments/{each.entry.id}/")
    _move(state.segments, out / "segments", [each.entry.id for each in finished])
    index = with_segments(
        planned,
        [each.entry for each in finished],
        [sum(each.terms[place] for each in finished) for place in range(len(planned.fields))],
    )

    def change(current: IndexManifest | None) -> IndexManifest:
        if current is None:
            return index
        if not overwrite:
            raise PublishConflict(
                f"{out} was empty when this build began, and holds an index now. Replace it with "
                "--overwrite, or name another folder with --out."
            )
        return msgspec.structs.replace(index, applied=current.applied)

    return publish(LocalStorage(out), change)


def _move(source: Path, target: Path, names: list[str]) -> None:
    """Folders by name, durably; those that an earlier try has moved are left."""
    target.mkdir(exist_ok=True)
    for name in names:
        if (source / name).exists():
            if (target / name).exists():
                (target / name).rename(source / f"{name}.replaced")
            (source / name).rename(target / name)
    handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
