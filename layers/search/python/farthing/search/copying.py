"""Copying an index's current version from one storage to another: a folder to a bucket, say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.errors import PublishConflict
from farthing.search.downloads import Wanted, download, files_of_segment
from farthing.search.manifest import MANIFEST_FILE, SEGMENT_FILE, files_beside_segments
from farthing.search.publishing import publish, read_manifest, spare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.search.manifest import IndexManifest
    from farthing.storage import Storage


def copy(
    source: Storage,
    target: Storage,
    *,
    overwrite: bool = False,
    told: Callable[[int, int], object] = lambda done, total: None,
) -> IndexManifest:
    """The manifest as published in `target`, where it is the next version of what was there.

    Segments that are there already are not copied again; `told` hears of files done and all files.

    Raises `PublishConflict` where `target` holds an index and `overwrite` is false, `IndexMissing`
    where `source` holds none or lacks a file.
    """
    index = read_manifest(source)

    def change(current: IndexManifest | None) -> IndexManifest:
        if current is None:
            return msgspec.structs.replace(index, applied=())
        if not overwrite:
            raise PublishConflict(
                f"{target.url} holds the index {current.name} already. Replace it with "
                "--overwrite, or name another place."
            )
        return msgspec.structs.replace(index, applied=current.applied)

    for entry in index.segments:
        spare(target, f"segments/{entry.id}/")
    # Refused before the first file is copied rather than after the last.
    if target.etag(MANIFEST_FILE) is not None:
        change(read_manifest(target))
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        files = list(_files(source, index, aside))
        for done, file in enumerate(files):
            told(done, len(files))
            if target.etag(file.name) is None:
                download(source, aside, [file])
                target.write(file.name, aside / file.name)
                (aside / file.name).unlink()
        told(len(files), len(files))
    return publish(target, change)


def _files(source: Storage, index: IndexManifest, aside: Path) -> Iterator[Wanted]:
    """Every file of the version; the segments' own accounts come last of theirs."""
    for entry in index.segments:
        yield from files_of_segment(source, entry, aside)
        account = f"segments/{entry.id}/{SEGMENT_FILE}"
        yield Wanted(account, entry.digest, (aside / account).stat().st_size)
    for name, digest in files_beside_segments(index):
        yield Wanted.of(name, digest)
