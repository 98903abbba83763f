"""What an index that is written to needs now and then."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from farthing.errors import PublishConflict
from farthing.search.compaction import compact, worn
from farthing.search.publishing import garbage_collect

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.search.manifest import IndexManifest
    from farthing.storage import Storage


def tend(storage: Storage, work: Path, manifest: IndexManifest) -> IndexManifest:
    """The manifest after a compaction and removal of old files where they are due, else as it is.

    For after every change: what is due is decided from the manifest alone. `work` is as in
    `farthing.search.updates.apply`.
    """
    if not worn(manifest.segments):
        return manifest
    # Whoever keeps publishing first has the same to do afterwards.
    with suppress(PublishConflict):
        manifest = compact(storage, work)
        garbage_collect(storage)
    return manifest
