"""Where a writer of an index works: segments within reach, and new ones on their way out."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.search.downloads import download, missing_of_segment
from farthing.search.publishing import spare
from farthing.search.segments import SEGMENTS_FOLDER, Segment, SegmentWriter
from farthing.search.statistics import field_terms
from farthing.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.search.segments import Document
    from farthing.storage import Storage

    Row = tuple[Document, NDArray[np.float32]]
    Kept = tuple[SegmentEntry, tuple[int, ...]]

DEBRIS_S = 24 * 3600.0


class Workplace:
    """A folder `work` beside an index that may lie in a bucket."""

    def __init__(self, storage: Storage, work: Path) -> None:
        self.work = work
        self._storage = storage
        self._folder = storage.folder if isinstance(storage, LocalStorage) else None
        work.mkdir(parents=True, exist_ok=True)

    def open(self, entry: SegmentEntry, index: IndexManifest) -> Segment:
        """The segment, downloaded first where it is not at hand, each file checked as it comes.

        Raises `IndexMissing` and `IndexCorrupt` naming the file.
        """
        if self._folder is not None:
            return Segment.open(self._folder, entry, index, verify=False)
        missing = missing_of_segment(self._storage, entry, self.work)
        if missing:
            download(self._storage, self.work, missing)
        return Segment.open(self.work, entry, index, verify=False)

    def write(self, index: IndexManifest, rows: Iterable[Row]) -> Iterator[Kept]:
        """Puts the rows into the storage as new segments, each with its fields' terms."""
        with self._aside() as folder:
            writer = None
            try:
                for document, vector in rows:
                    writer = writer or segment_writer(folder, index)
                    writer.add(document, vector)
                    if writer.is_full:
                        yield self.keep(folder, writer.finish(), index)
                        writer = None
                if writer:
                    yield self.keep(folder, writer.finish(), index)
            finally:
                if writer:
                    writer.close()

    def keep(self, folder: Path, entry: SegmentEntry, index: IndexManifest) -> Kept:
        """Puts a new segment of `folder` into the storage, if it is not there."""
        # The same documents may have been a segment before, and be due to be removed.
        spare(self._storage, f"segments/{entry.id}/")
        terms = field_terms(Segment.open(folder, entry, index, verify=False))
        if folder != self._folder:
            for file in sorted((folder / SEGMENTS_FOLDER / entry.id).iterdir()):
                self._storage.write(f"segments/{entry.id}/{file.name}", file)
        return entry, terms

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        """Where new segments are made: where they stay, if the index is a folder."""
        if self._folder is not None:
            self._remove_debris(self._folder / SEGMENTS_FOLDER)
            yield self._folder
        else:
            with tempfile.TemporaryDirectory(dir=self.work, prefix=".new-") as aside:
                yield Path(aside)

    def _remove_debris(self, segments: Path) -> None:
        """What killed writers left half-written, long ago."""
        for left in segments.glob(".unfinished-*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > DEBRIS_S:
                    shutil.rmtree(left, ignore_errors=True)


def segment_writer(folder: Path, index: IndexManifest) -> SegmentWriter:
    """A writer of one segment like the index's others, into `folder`/segments."""
    segments = folder / SEGMENTS_FOLDER
    segments.mkdir(parents=True, exist_ok=True)
    return SegmentWriter(segments, index.fields, index.filters, index.analysis, index.embedder.dims)
