"""The parts of an index in a local folder, each checked as it is opened."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from farthing.search.errors import EmbedderMismatch, IndexMissing
from farthing.search.manifest import (
    MANIFEST_FILE,
    SEGMENT_FILE,
    decode_manifest,
    decode_segment,
)
from farthing.search.ranking import default_ranker, read_ranker
from farthing.search.segments import SEGMENTS_FOLDER, Segment
from farthing.search.segments.segment import corrupt_file, verify_files

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.inference.tasks import Embedder
    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.search.ranking import Ranking

RANKING_FOLDER = "ranking"


def read_local_manifest(folder: Path) -> IndexManifest:
    """The version in the folder. Raises `IndexMissing`, `IndexCorrupt`, `IndexTooNew`."""
    return decode_manifest(_read(folder / MANIFEST_FILE), str(folder / MANIFEST_FILE))


def check_embedder(manifest: IndexManifest, embedder: Embedder) -> None:
    """Raises `EmbedderMismatch` where other vectors were indexed than `embedder` makes."""
    wanted, given = manifest.embedder, embedder.bundle.digest
    if given != wanted.digest:
        raise EmbedderMismatch(
            f"The index {manifest.name} was built with {wanted.name} ({wanted.digest[:12]}); the "
            f"embedder is {embedder.name} ({given[:12]}). Serve the bundle that it was built "
            "with, or build it again."
        )


def open_segments(
    folder: Path, manifest: IndexManifest, verified: IndexManifest | None = None
) -> list[Segment]:
    """The hot segments, and the cold ones that are there all the same.

    All are read and compared with their digests, but for those of a version that was.
    """
    verify = manifest != verified
    return [
        Segment.open(folder, entry, manifest, verify=verify) for entry in _at_hand(folder, manifest)
    ]


class Verification(threading.Thread):
    """Reads the segments at hand and compares their digests while other things are loaded."""

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        super().__init__(name="farthing-index", daemon=True)
        self.manifest = manifest
        self._folder = folder
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for entry in _at_hand(self._folder, self.manifest):
                home = self._folder / SEGMENTS_FOLDER / entry.id
                account = home / SEGMENT_FILE
                verify_files(home, decode_segment(_read(account), str(account), entry.digest))
        except Exception as error:
            self._error = error

    def finish(self) -> IndexManifest:
        """The version, once all of it was read. Raises `IndexCorrupt`, `IndexMissing`."""
        self.join()
        if self._error is not None:
            raise self._error
        return self.manifest


def _at_hand(folder: Path, manifest: IndexManifest) -> list[SegmentEntry]:
    return [
        entry
        for entry in manifest.segments
        if entry.tier == "hot" or (folder / SEGMENTS_FOLDER / entry.id).is_dir()
    ]


def read_ranking(folder: Path, manifest: IndexManifest) -> Ranking:
    """What the index has learned, or defaults where it has not."""
    entry = manifest.ranking
    if entry is None:
        return default_ranker(manifest)
    file = folder / RANKING_FOLDER / entry.file
    raw = _read(file)
    actual = hashlib.sha256(raw).hexdigest()
    if actual != entry.digest.sha256:
        raise corrupt_file(file, f"has sha256 {actual}", entry.digest.sha256)
    return read_ranker(raw)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise IndexMissing(
            f"Index file {file} cannot be read ({error.strerror}). "
            "Point at a folder that `farthing index build` wrote, or build it again."
        ) from None
