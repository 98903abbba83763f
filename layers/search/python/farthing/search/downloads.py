"""Files brought from storage: checked as they come, several at a time, resumed where they broke."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from farthing.search.errors import IndexCorrupt
from farthing.search.manifest import SEGMENT_FILE, decode_segment, deletions_of
from farthing.storage.contract import CHUNK_BYTES
from farthing.storage.files import place, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farthing.inference.bundle import FileDigest
    from farthing.search.manifest import SegmentEntry
    from farthing.storage.contract import Storage

CONNECTIONS_MAX: Final = 4


class Wanted(NamedTuple):
    """A file as a manifest describes it."""

    name: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, name: str, digest: FileDigest) -> Wanted:
        return cls(name, digest.sha256, digest.bytes)


def files_of_segment(storage: Storage, entry: SegmentEntry, folder: Path) -> Iterator[Wanted]:
    """The files of a segment, whose own account comes into `folder` first.

    Raises `IndexCorrupt` where that is not the one that the index's manifest states.
    """
    name = f"segments/{entry.id}/{SEGMENT_FILE}"
    local = folder / name
    if local.is_file() and hashlib.sha256(local.read_bytes()).hexdigest() == entry.digest:
        facts = decode_segment(local.read_bytes(), str(local), entry.digest)
    else:
        raw = storage.read(name)
        facts = decode_segment(raw, f"{storage.url}/{name}", entry.digest)
        place(local, (raw,))
    for file, digest in facts.files.items():
        yield Wanted.of(f"segments/{entry.id}/{file}", digest)


def is_there(folder: Path, file: Wanted) -> bool:
    """Whether it was downloaded before; whoever opens it checks what is in it."""
    local = folder / file.name
    return local.is_file() and local.stat().st_size == file.bytes


def missing_of_segment(storage: Storage, entry: SegmentEntry, folder: Path) -> list[Wanted]:
    """The files of a segment and of its deletions that are still to come into `folder`."""
    wanted = list(files_of_segment(storage, entry, folder))
    wanted += [Wanted.of(*file) for file in deletions_of(entry)]
    return [file for file in wanted if not is_there(folder, file)]


def download(storage: Storage, folder: Path, files: Sequence[Wanted]) -> None:
    """Brings `files` into `folder`, each of which appears there when it is whole and right.

    Raises `IndexCorrupt` for one that is not what it should be, `StorageUnavailable` where the
    storage does not answer or the disk is full; what came until then is taken up the next time.
    """
    # Only who downloads needs threads.
    from concurrent.futures import ThreadPoolExecutor

    largest_first = sorted(files, key=lambda file: -file.bytes)
    with ThreadPoolExecutor(min(CONNECTIONS_MAX, len(files))) as pool:
        for _ in pool.map(lambda file: _bring(storage, folder, file), largest_first):
            pass


def _bring(storage: Storage, folder: Path, file: Wanted) -> None:
    target = folder / file.name
    part = target.with_name(f".{target.name}.part")
    with told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        came_before = part.stat().st_size if part.exists() else 0
    if not _complete(storage, file, part, came_before) and not (
        # What a broken download left may be of another file of that name.
        came_before and _complete(storage, file, part, 0)
    ):
        raise IndexCorrupt(
            f"{storage.url}/{file.name} is not the file of {file.bytes} bytes with sha256 "
            f"{file.sha256} that the index's manifest states. Restore it, or build the index again."
        )
    with told(target):
        part.replace(target)


def _complete(storage: Storage, file: Wanted, part: Path, came_before: int) -> bool:
    """Whether `part` is now the whole file; it is gone where it is another."""
    digest, position = hashlib.sha256(), 0
    with told(part), part.open("r+b" if came_before else "wb") as local:
        while piece := local.read(CHUNK_BYTES) if came_before else b"":
            digest.update(piece)
            position += len(piece)
        if position < file.bytes:
            for piece in storage.stream(file.name, position):
                position += len(piece)
                if position > file.bytes:
                    break
                local.write(piece)
                digest.update(piece)
    if position == file.bytes and digest.hexdigest() == file.sha256:
        return True
    part.unlink()
    return False
