"""Publishing: a version of an index replaces the one before it, in one step or not at all.

versions/N.json    every version's manifest, kept from the moment that another replaces it
garbage.json       files that no version needs, and since when that is known
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from farthing.errors import FileMissing, PublishConflict
from farthing.search.errors import IndexMissing
from farthing.search.manifest import FORMAT, MANIFEST_FILE, IndexManifest, decode_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.storage import Storage

TRIES_MAX = 8
PAUSE_S_MAX = 0.2
VERSIONS = "versions/"
GARBAGE_FILE = "garbage.json"
GRACE_S = 3600.0
OWNED = ("segments/", "deletions/", "ranking/", VERSIONS)


def read_manifest(storage: Storage) -> IndexManifest:
    """The version that is published now.

    Raises `IndexMissing` where there is none, `IndexCorrupt` and `IndexTooNew` as decoding does.
    """
    try:
        raw = storage.read(MANIFEST_FILE)
    except FileMissing:
        raise IndexMissing(
            f"{storage.url} holds no index. Build or copy one there, or name the folder that has "
            f"its {MANIFEST_FILE}."
        ) from None
    return decode_manifest(raw, f"{storage.url}/{MANIFEST_FILE}")


def publish(
    storage: Storage, change: Callable[[IndexManifest | None], IndexManifest]
) -> IndexManifest:
    """The manifest as published: what `change` makes of the current one, None if there is none.

    `change` must have written the files that its manifest names; version, format and time are set
    here. Where another writer comes first, `change` is asked again with what that one published.
    It may give back the very manifest that it was given: then nothing is published.

    Raises `PublishConflict` where others keep coming first.
    """
    for attempt in range(TRIES_MAX):
        if attempt:
            time.sleep(random.uniform(0, PAUSE_S_MAX))  # noqa: S311 - only keeps writers apart
        # In this order: what is published after the etag was asked for makes the write fail.
        etag = storage.etag(MANIFEST_FILE)
        current = None if etag is None else read_manifest(storage)
        wanted = change(current)
        if wanted is current:
            return wanted
        fresh = msgspec.structs.replace(
            wanted,
            format=FORMAT,
            version=current.version + 1 if current else 1,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        if current is not None:
            storage.write(_version_file(current.version), encode(current))
        try:
            storage.write(MANIFEST_FILE, encode(fresh), expect=etag)
        except PublishConflict:
            continue
        return fresh
    raise PublishConflict(
        f"{storage.url} was to be changed, and other writers published first {TRIES_MAX} times. "
        "Nothing of this change is published; try again, or let one process write."
    )


def encode(manifest: IndexManifest) -> bytes:
    """A manifest as its file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def versions(storage: Storage) -> Iterator[IndexManifest]:
    """The versions whose manifests are kept, oldest first, the current one last."""
    current = read_manifest(storage)
    numbers = (
        name.removeprefix(VERSIONS).removesuffix(".json") for name in storage.names(VERSIONS)
    )
    for number in sorted(int(text) for text in numbers if text.isdecimal()):
        if number < current.version:
            name = _version_file(number)
            yield decode_manifest(storage.read(name), f"{storage.url}/{name}")
    yield current


def garbage_collect(
    storage: Storage, *, keep_versions: int = 1, grace_s: float = GRACE_S
) -> list[str]:
    """The names of the files that were removed, which no kept version needs.

    Kept are the current version, the `keep_versions` before it, and any other that was current in
    the last `grace_s` seconds: its readers may still be opening files. A file must have been seen
    unneeded that long ago, because another writer may be about to publish it.
    """
    now = datetime.now(UTC)
    *older, current = versions(storage)
    kept = [current, *older[len(older) - keep_versions :]]
    ends = [datetime.fromisoformat(later.created_at) for later in [*older[1:], current]]
    horizon = now - timedelta(seconds=grace_s)
    kept += [version for version, end in zip(older, ends, strict=False) if end > horizon]
    needed = tuple({file for version in kept for file in _files(version)})
    unneeded = [
        name for prefix in OWNED for name in storage.names(prefix) if not name.startswith(needed)
    ]
    known = _known_garbage(storage)
    since = {name: known.get(name, now) for name in unneeded}
    due = [name for name, at in since.items() if at <= horizon]
    for name in due:
        storage.delete(name)
        del since[name]
    if since:
        storage.write(GARBAGE_FILE, msgspec.json.encode(since))
    else:
        storage.delete(GARBAGE_FILE)
    return due


def spare(storage: Storage, prefix: str) -> None:
    """Forgets that files with this prefix were garbage, before they are written to be published."""
    known = _known_garbage(storage)
    kept = {name: since for name, since in known.items() if not name.startswith(prefix)}
    if len(kept) < len(known):
        storage.write(GARBAGE_FILE, msgspec.json.encode(kept))


def _files(manifest: IndexManifest) -> Iterator[str]:
    """What the version needs: files, and folders with a `/` at the end."""
    yield _version_file(manifest.version)
    for entry in manifest.segments:
        yield f"segments/{entry.id}/"
        if entry.deletions is not None:
            yield f"deletions/{entry.deletions}"
    if manifest.ranking is not None:
        yield f"ranking/{manifest.ranking.file}"


def _known_garbage(storage: Storage) -> dict[str, datetime]:
    try:
        return msgspec.json.decode(storage.read(GARBAGE_FILE), type=dict[str, datetime])
    except (FileMissing, msgspec.MsgspecError):
        return {}


def _version_file(version: int) -> str:
    return f"{VERSIONS}{version}.json"
