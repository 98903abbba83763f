"""Cold segments: left in the bucket until a search asks for one, then kept within a bound."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

from farthing.search.downloads import download, missing_of_segment
from farthing.search.local_copy import alone, make_room
from farthing.search.segments import Segment
from farthing.storage import LocalStorage
from farthing.storage.files import told

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.search.manifest import IndexManifest, SegmentEntry
    from farthing.storage import Storage


class ColdSegments:
    """Opens the cold segments of one version, and fetches them into `folder` before.

    Thread-safe, and several processes may share the folder. Of what was fetched, the segments used
    last are kept, `mb_max` megabytes of them and at least one; a search that uses one goes on when
    its files are removed. Segments of a local index are opened where they lie.
    """

    def __init__(
        self, storage: Storage, manifest: IndexManifest, folder: Path, *, mb_max: int
    ) -> None:
        self._storage, self._manifest, self._folder = storage, manifest, folder
        self._bytes_max = mb_max * 1_000_000
        self._open: dict[str, Segment] = {}
        self._lock = threading.Lock()

    def __call__(self, entry: SegmentEntry) -> Segment:
        """The segment that `entry` describes, whose digests were checked.

        Raises `IndexMissing`, `IndexCorrupt`, `FileArchived`, and `StorageUnavailable` where the
        storage does not answer or the disk is too small.
        """
        with self._lock:
            segment = self._open.pop(entry.id, None) or self._opened(entry)
            # Last in the order is the one used last.
            self._open[entry.id] = segment
            return segment

    def _opened(self, entry: SegmentEntry) -> Segment:
        if isinstance(self._storage, LocalStorage):
            return Segment.open(self._storage.folder, entry, self._manifest)
        with alone(self._folder):
            self._trim(entry)
            missing = missing_of_segment(self._storage, entry, self._folder)
            if missing:
                make_room(self._folder, sum(file.bytes for file in missing))
                download(self._storage, self._folder, missing)
            return Segment.open(self._folder, entry, self._manifest)

    def _trim(self, coming: SegmentEntry) -> None:
        """Removes the segments used longest ago, until there is room for another."""
        homes = self._folder / "segments"
        order = {id_: place for place, id_ in enumerate(self._open)}
        with told(homes):
            homes.mkdir(exist_ok=True)
            kept = [home for home in homes.iterdir() if home.name != coming.id]
            # What another process fetched goes first: it has open what it uses.
            kept.sort(key=lambda home: order.get(home.name, -1))
            sizes = {home: sum(file.stat().st_size for file in home.iterdir()) for home in kept}
            for home in kept:
                if sum(sizes.values()) + coming.bytes <= self._bytes_max:
                    break
                shutil.rmtree(home)
                del sizes[home]
                self._open.pop(home.name, None)
