"""A folder as a storage: on a disk, or on EFS or NAS, which keep locks too."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farthing.errors import FileMissing, PublishConflict
from farthing.storage.contract import ANY, CHUNK_BYTES, checked_name
from farthing.storage.files import (
    STAGED,
    pieces,
    place,
    staged,
    sync_folders,
    told,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.storage.contract import Expect

LOCK_FILE: Final = ".lock"
DEBRIS_S: Final = 3600.0


class LocalStorage:
    """The folder is made by the first write; nothing is written to be read from.

    An etag is the SHA-256 of the file's bytes. What is compared and replaced is so under a lock of
    the operating system's, which a killed process gives back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def url(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes:
        with self._found(name) as file:
            return file.read_bytes()

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        with self._found(name) as file, file.open("rb") as content:
            content.seek(start)
            while chunk := content.read(CHUNK_BYTES):
                yield chunk

    def fetch(self, name: str, target: Path) -> None:
        place(target, self.stream(name))

    def write(self, name: str, content: bytes | Path, *, expect: Expect = ANY) -> str:
        target = self._path(name)
        digest = hashlib.sha256()
        # Staged beside the top folder's files: `delete` removes the folders that it empties.
        staging_of = staged(self.folder / target.name, _counted(content, digest), durable=True)
        with staging_of as staging, self._locked(), told(target):
            if expect is not ANY and self.etag(name) != expect:
                raise PublishConflict(
                    f"{target} is not what it was when it was read: another writer was first. "
                    "Read it again and try again."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.replace(target)
            sync_folders(target.parent, self.folder)
            self._remove_debris()
        return digest.hexdigest()

    def etag(self, name: str) -> str | None:
        try:
            with self._path(name).open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(self._path(name), error) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        found = []
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [part for part in folders if not part.startswith(".")]
            inside = Path(folder).relative_to(self.folder)
            found += [(inside / file).as_posix() for file in files if not file.startswith(".")]
        return iter(sorted(name for name in found if name.startswith(prefix)))

    def delete(self, name: str) -> None:
        """Folders that it leaves empty go too."""
        file = self._path(name)
        with self._locked(), told(file):
            if not file.exists():
                return
            file.unlink()
            for folder in file.parents:
                if folder == self.folder or any(folder.iterdir()):
                    return
                folder.rmdir()

    def _remove_debris(self) -> None:
        """What killed writers left half-written."""
        for left in self.folder.glob(STAGED):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > DEBRIS_S:
                    left.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / checked_name(name)

    @contextmanager
    def _found(self, name: str) -> Iterator[Path]:
        file = self._path(name)
        try:
            yield file
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileMissing(
                f"{file} is not there. Write it, or name the folder that holds it."
            ) from None
        except OSError as error:
            raise unreadable(file, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """A descriptor of its own each time, so that threads lock each other out too."""
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with told(self.folder):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _counted(content: bytes | Path, digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in pieces(content):
        digest.update(chunk)
        yield chunk
