"""Files that appear whole or not at all, and stay after a power cut."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from farthing.errors import StorageUnavailable
from farthing.storage.contract import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

STAGED: Final = ".*.staged-*"


@contextmanager
def staged(target: Path, chunks: Iterable[bytes], *, durable: bool) -> Iterator[Path]:
    """A finished file beside `target`, for the caller to rename; gone afterwards if it did not.

    Raises `StorageUnavailable` where the disk is full or read-only.
    """
    staging = target.with_name(f".{target.name}.staged-{secrets.token_hex(6)}")
    try:
        with told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with staging.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        yield staging
    finally:
        with suppress(OSError):
            staging.unlink(missing_ok=True)


def place(target: Path, chunks: Iterable[bytes], *, durable: bool = False) -> None:
    """Writes `chunks` to `target`, which appears when all of them are there."""
    with staged(target, chunks, durable=durable) as staging, told(target):
        staging.replace(target)
    if durable:
        with told(target):
            sync_folders(target.parent, target.parent)


def sync_folders(folder: Path, top: Path) -> None:
    """Puts renames in `folder` on disk, and those folders up to `top` that it may be new in."""
    for each in (folder, *folder.parents):
        handle = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if each == top:
            return


def pieces(content: bytes | Path) -> Iterator[bytes]:
    """The content in pieces of up to 1 MB. Raises `StorageUnavailable` for an unreadable file."""
    if isinstance(content, bytes):
        yield content
        return
    try:
        with content.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise unreadable(content, error) from error


def unreadable(file: Path, error: OSError) -> StorageUnavailable:
    """What is said of a file that is there, and cannot be read."""
    return StorageUnavailable(
        f"{file} cannot be read ({error.strerror or type(error).__name__}). "
        "See that it is a file that this process may read."
    )


@contextmanager
def told(target: Path) -> Iterator[None]:
    """Tells of a disk that does not take what is written, as `StorageUnavailable`."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(
            f"{target} cannot be written ({error.strerror or type(error).__name__}). "
            "Free space there, or choose a folder that may be written."
        ) from error
