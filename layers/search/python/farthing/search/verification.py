"""Whether an index's files are those that it was published with, wherever it lies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from farthing.errors import FileMissing
from farthing.search.errors import IndexCorrupt, IndexTooNew
from farthing.search.manifest import SEGMENT_FILE, decode_segment, files_beside_segments
from farthing.search.publishing import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.inference.bundle import FileDigest
    from farthing.search.manifest import SegmentEntry
    from farthing.storage import Storage


class Checked(msgspec.Struct):
    """How many files were read, and a sentence for each that is not as stated."""

    files: int = 0
    problems: list[str] = []


def verify(
    storage: Storage, told: Callable[[int, int], object] = lambda done, total: None
) -> Checked:
    """Every file of the current version, read whole; `told` hears of bytes done and all bytes.

    Raises `IndexMissing` where there is no index, `IndexCorrupt` where its manifest is none.
    """
    index = read_manifest(storage)
    checked = Checked()
    done, total = 0, sum(entry.bytes for entry in index.segments)
    for entry in index.segments:
        raw = _account(storage, entry, checked)
        done += len(raw)
        for name, digest in _files(raw, storage, entry, checked):
            _compare(storage, f"segments/{entry.id}/{name}", digest, checked)
            done += digest.bytes
            told(done, total)
    for name, digest in files_beside_segments(index):
        _compare(storage, name, digest, checked)
    return checked


def _account(storage: Storage, entry: SegmentEntry, checked: Checked) -> bytes:
    checked.files += 1
    try:
        return storage.read(f"segments/{entry.id}/{SEGMENT_FILE}")
    except FileMissing as error:
        checked.problems.append(str(error))
        return b""


def _files(
    raw: bytes, storage: Storage, entry: SegmentEntry, checked: Checked
) -> list[tuple[str, FileDigest]]:
    if not raw:
        return []
    where = f"{storage.url}/segments/{entry.id}/{SEGMENT_FILE}"
    try:
        return sorted(decode_segment(raw, where, entry.digest).files.items())
    except (IndexCorrupt, IndexTooNew) as error:
        checked.problems.append(str(error))
        return []


def _compare(storage: Storage, name: str, stated: FileDigest, checked: Checked) -> None:
    checked.files += 1
    digest = hashlib.sha256()
    try:
        for chunk in storage.stream(name):
            digest.update(chunk)
    except FileMissing as error:
        checked.problems.append(str(error))
        return
    if digest.hexdigest() != stated.sha256:
        checked.problems.append(
            f"{storage.url}/{name} has sha256 {digest.hexdigest()}; the index states "
            f"{stated.sha256}. Restore the file, or build the index again."
        )
