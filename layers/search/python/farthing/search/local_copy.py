"""A local copy of an index that lies in a bucket, so that it is downloaded once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from farthing.errors import FileMissing, StorageUnavailable
from farthing.search.downloads import Wanted, download, files_of_segment, is_there
from farthing.search.manifest import (
    MANIFEST_FILE,
    IndexManifest,
    decode_manifest,
    files_beside_segments,
)
from farthing.storage import local_folder, open_storage
from farthing.storage.files import place, told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from farthing.storage import Storage

# Versions that may be published, and cleared away, while one is being downloaded.
VERSIONS_MAX: Final = 3
FREE_BYTES_MIN: Final = 8 << 20


def materialise(address: str, cache: Path, *, tiers: Collection[str] = ("hot",)) -> Path:
    """A local folder with the current version of the index at `address`.

    A local address is its own folder. One in a bucket is copied into `cache` once, each file
    checked against its digest as it comes; files that two versions share are kept, and those of
    the version before too, as another process may be opening it. Several processes may ask at the
    same time: one downloads. Segments of other tiers stay where they are.

    Raises `IndexMissing`, `IndexCorrupt`, `IndexTooNew` and `FileArchived` as the index is found,
    `StorageUnavailable` where the bucket does not answer or the disk is too small.
    """
    folder = local_folder(address)
    if folder is not None:
        return folder
    storage = open_storage(address)
    folder = cache / copy_name(storage.url)
    return refresh(storage, folder, tiers)


def refresh(storage: Storage, folder: Path, tiers: Collection[str] = ("hot",)) -> Path:
    """Brings the copy in `folder` to the current version of the index in `storage`."""
    for attempt in range(1, VERSIONS_MAX + 1):
        raw = storage.read(MANIFEST_FILE)
        manifest = decode_manifest(raw, f"{storage.url}/{MANIFEST_FILE}")
        try:
            with alone(folder):
                _install(storage, folder, raw, manifest, tiers)
        except FileMissing:
            # A version published meanwhile may do without the file.
            if attempt == VERSIONS_MAX or storage.read(MANIFEST_FILE) == raw:
                raise
        else:
            break
    return folder


def copy_name(url: str) -> str:
    """The name of a copy's folder: readable, and no other index's."""
    last = url.rstrip("/").rpartition("/")[2]
    return f"{last}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _install(
    storage: Storage, folder: Path, raw: bytes, manifest: IndexManifest, tiers: Collection[str]
) -> None:
    before = _manifest_of(folder)
    segments = [entry for entry in manifest.segments if entry.tier in tiers]
    wanted = [Wanted.of(*file) for file in files_beside_segments(manifest)]
    for entry in segments:
        wanted += files_of_segment(storage, entry, folder)
    missing = [file for file in wanted if not is_there(folder, file)]
    if missing:
        make_room(folder, sum(file.bytes for file in missing))
        download(storage, folder, missing)
    if before != manifest:
        place(folder / MANIFEST_FILE, (raw,))
        _clear(folder, [version for version in (before, manifest) if version is not None], tiers)


def _manifest_of(folder: Path) -> IndexManifest | None:
    try:
        return decode_manifest((folder / MANIFEST_FILE).read_bytes(), str(folder / MANIFEST_FILE))
    except FileNotFoundError:
        return None


def make_room(folder: Path, needed_bytes: int) -> None:
    """Raises `StorageUnavailable` where the disk has no room for so many bytes."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + FREE_BYTES_MIN:
        raise StorageUnavailable(
            f"The index needs {needed_bytes / 1e6:.0f} MB in {folder}, where "
            f"{free_bytes / 1e6:.0f} MB are free. Give the function a larger disk, or point "
            "FARTHING_INDEX_CACHE elsewhere."
        )


def _clear(folder: Path, versions: list[IndexManifest], tiers: Collection[str]) -> None:
    """Removes deletions and rankings that none of `versions` names, and segments likewise, or that
    are of another tier."""
    entries = [entry for version in versions for entry in version.segments]
    kept: dict[str, set[str | None]] = {
        "segments": {entry.id for entry in entries if entry.tier in tiers},
        "deletions": {entry.deletions for entry in entries},
        "ranking": {version.ranking.file for version in versions if version.ranking},
    }
    for kind, names in kept.items():
        for path in (folder / kind).glob("*"):
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process changes the copy; a killed one does not keep it."""
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with told(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
