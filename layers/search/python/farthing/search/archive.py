"""Versions of an index put away in a bucket's archive, and brought back as the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from farthing.errors import SettingsError
from farthing.search.errors import IndexMissing
from farthing.search.manifest import IndexManifest, decode_manifest
from farthing.search.publishing import VERSIONS, encode, publish, read_manifest, spare
from farthing.storage.shelving import MANIFESTS, PREFIX, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.storage import Storage
    from farthing.storage.buckets import BucketStorage
    from farthing.storage.dialects import Speed


class PutAway(NamedTuple):
    """A version in the archive: its files, those included that an earlier one had put there."""

    version: int
    files: int
    copied: int


class Restoration(NamedTuple):
    """How far a version is on its way back; `published` is the version that it became.

    `asked` files were asked for now, `coming` ones before; `waits` says how long they take.
    """

    version: int
    readable: int
    asked: int
    coming: int
    waits: str
    published: IndexManifest | None


def put_away(storage: Storage) -> PutAway:
    """Copies the current version's files into the archive, those that are not there yet.

    Raises `SettingsError` where the storage has no archive, `IndexMissing` where it has no index.
    """
    bucket, shelf = _bucket(storage)
    index = read_manifest(bucket)
    files = list(_files(bucket, index))
    there = set(bucket.names(PREFIX))
    missing = [name for name in files if PREFIX + name not in there]
    for name in missing:
        shelf.put_away(name, PREFIX + name)
    bucket.write(f"{MANIFESTS}{index.version}.json", encode(index))
    return PutAway(index.version, len(files), len(missing))


def cool(storage: Storage, index: IndexManifest, cold_mb_max: float) -> list[str]:
    """Moves cold segments beyond so many megabytes into the archive; gives their ids.

    They stay in the index, and a search that asks for one is told how long it takes to come back.
    Those last in the manifest go first. Raises as `put_away` does.
    """
    bucket, shelf = _bucket(storage)
    kept_bytes, moved = 0, []
    for entry in index.segments:
        if entry.tier != "cold":
            continue
        if kept_bytes + entry.bytes <= cold_mb_max * 1e6:
            kept_bytes += entry.bytes
            continue
        moved.append(entry.id)
        for name in bucket.names(f"segments/{entry.id}/"):
            if shelf.state(name) == "readable":
                shelf.put_away(name, name)
    return moved


def versions(storage: Storage) -> list[IndexManifest]:
    """The versions that can be restored, oldest first: those put away and those still there."""
    found = {}
    for folder in (VERSIONS, MANIFESTS):
        for name in storage.names(folder):
            manifest = decode_manifest(storage.read(name), f"{storage.url}/{name}")
            found[manifest.version] = manifest
    return [found[version] for version in sorted(found)]


def restore(storage: Storage, version: int, *, speed: Speed = "bulk", days: int = 7) -> Restoration:
    """Brings a version back, as far as that goes now; called again until it is `published`.

    Files that lie in the archive are asked for, to be readable for so many days. When all are,
    they are copied to where the index has them, and the version's documents are published as a
    new version. Raises `IndexMissing` where the version is not known or has lost a file.
    """
    bucket, shelf = _bucket(storage)
    index = next((each for each in versions(bucket) if each.version == version), None)
    if index is None and read_manifest(bucket).version == version:
        index = read_manifest(bucket)
    if index is None:
        raise IndexMissing(
            f"{bucket.url} has no version {version} to restore. `farthing index restore` without "
            "--version lists those that it has."
        )
    sources = _sources(bucket, index)
    states = {source: shelf.state(source) for source in sources.values()}
    asked = [source for source, state in states.items() if state == "archived"]
    for source in asked:
        shelf.ask_for(source, speed, days)
    readable = [source for source, state in states.items() if state == "readable"]
    published = None
    if len(readable) == len(states):
        # Their names may be known as garbage that is about to go.
        for folder in ("segments/", "deletions/", "ranking/"):
            spare(bucket, folder)
        for name, source in sources.items():
            if source != name or shelf.lies_archived(name):
                shelf.bring_back(source, name)
        published = publish(bucket, lambda current: _as_current(index, current))
    coming = len(states) - len(readable) - len(asked)
    return Restoration(version, len(readable), len(asked), coming, shelf.waits, published)


def _as_current(index: IndexManifest, current: IndexManifest | None) -> IndexManifest:
    """The version's documents, and what the current one knows of queued writes."""
    if current is None or current.version == index.version:
        return current or index
    return msgspec.structs.replace(index, applied=current.applied)


def _sources(bucket: BucketStorage, index: IndexManifest) -> dict[str, str]:
    """Where each file of a version lies now, by the name that the index has it by."""
    there = {*_files(bucket, index)}
    archived = {name.removeprefix(PREFIX) for name in _files(bucket, index, PREFIX)}
    found = {name: name if name in there else PREFIX + name for name in sorted(there | archived)}
    lost = [
        entry.id for entry in index.segments if f"segments/{entry.id}/segment.json" not in found
    ]
    if lost:
        raise IndexMissing(
            f"{bucket.url} has lost segment {lost[0]} of version {index.version}, which was not "
            "put away in time. Restore another version, or build the index again."
        )
    return found


def _files(bucket: BucketStorage, index: IndexManifest, before: str = "") -> Iterator[str]:
    """The names of a version's files that are in the bucket, below the prefix `before`."""
    for entry in index.segments:
        yield from bucket.names(f"{before}segments/{entry.id}/")
        if entry.deletions is not None:
            yield from bucket.names(f"{before}deletions/{entry.deletions}")
    if index.ranking is not None:
        yield from bucket.names(f"{before}ranking/{index.ranking.file}")


def _bucket(storage: Storage) -> tuple[BucketStorage, Shelf]:
    # A folder's users do without the client and its sockets.
    from farthing.storage.buckets import BucketStorage

    if not isinstance(storage, BucketStorage):
        raise SettingsError(
            f"{storage.url} is a folder, which has no archive. Copy the index to a bucket with "
            "`farthing index copy`, or keep a copy of the folder."
        )
    return storage, Shelf(storage)
