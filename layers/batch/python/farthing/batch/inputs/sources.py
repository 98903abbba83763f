"""A job's files where they lie: found, known by their etags, opened, and checked again when read.

An etag is the storage's own. A file on disk is known by its size, the time of its last change in
nanoseconds and its inode, so a copy of it is another file.
"""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import format_of, name_of
from farthing.batch.inputs.places import QUERY, changed, place_of, told
from farthing.batch.job import Input

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from typing_extensions import Buffer

    from farthing.batch.inputs.places import Place

PATTERN: Final = re.compile(r"[*?\[]")
# What a storage of objects is asked for at once, beside what is needed: bounds a reader's memory.
AHEAD_BYTES: Final = 8 << 20


def find_inputs(uris: Sequence[str]) -> tuple[Input, ...]:
    """The files that addresses and patterns name, each once: a pattern's in order of their names.

    :raises InputInvalid: for a directory, a name without a format that can be read, a pattern
        that nothing matches, and all that `told` says.
    :raises StorageUnavailable: where a storage does not answer.
    """
    found = [each for uri in uris for each in _matching(uri)]
    return tuple({each.uri: each for each in found}.values())


def _matching(uri: str) -> Iterator[Input]:
    place = place_of(uri)
    details: Mapping[str, dict[str, Any]]
    with told(uri):
        # A name may have a pattern's characters.
        is_pattern = PATTERN.search(place.path) and not place.system.exists(place.path)
        details = place.system.glob(place.path, detail=True) if is_pattern else {}
    if not is_pattern:
        yield _described(place, place.path)
        return
    paths = sorted(path for path, detail in details.items() if detail["type"] != "directory")
    if not paths:
        raise InputInvalid(
            f"{QUERY.sub('', uri)} was asked for, and no file matches it. Name files that are "
            "there."
        )
    for path in paths:
        yield _described(place, path, details[path])


def _described(place: Place, path: str, detail: Mapping[str, Any] | None = None) -> Input:
    uri = place.uri(path)
    with told(uri):
        etag, size = _known_by(place, path, detail)
    format_of(name_of(uri))
    return Input(uri=uri, etag=etag, bytes=size)


def _known_by(place: Place, path: str, detail: Mapping[str, Any] | None) -> tuple[str, int]:
    """A file's etag and size. Raises `InputInvalid` for what is no file."""
    if not place.scheme:
        facts = Path(path).stat()
        if stat.S_ISDIR(facts.st_mode):
            raise _directory(path)
        if not stat.S_ISREG(facts.st_mode):
            raise InputInvalid(
                f"{path} is no regular file, and a job reads its files more than once. Write it "
                "to a file first."
            )
        return f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ino}", facts.st_size
    detail = detail or place.system.info(path)
    if detail["type"] == "directory":
        raise _directory(place.uri(path))
    etag = detail.get("ETag") or detail.get("etag") or detail["generation"]
    return str(etag).strip('"'), int(detail["size"])


def _directory(uri: str) -> InputInvalid:
    folder = QUERY.sub("", uri).rstrip("/")
    return InputInvalid(
        f"{folder} is a directory, and a job reads files. Name them by a pattern: '{folder}/*.csv'."
    )


def check_unchanged(given: Input) -> None:
    """Raises `InputChanged` unless the file is the one that the job was planned from."""
    place = place_of(given.uri)
    with told(given.uri, planned=True):
        etag, _ = _known_by(place, place.path, None)
    if etag != given.etag:
        raise changed(given.uri)


class Source(io.RawIOBase):
    """A planned file's bytes as they lie, with what its storage says told as our errors.

    S3 is asked for the bytes of the one etag that it was opened with, and so gives no others.
    """

    def __init__(self, given: Input) -> None:
        check_unchanged(given)
        self._uri = given.uri
        place = place_of(given.uri)
        options: dict[str, Any] = {}
        if place.scheme:
            options = {"block_size": AHEAD_BYTES, "cache_type": "readahead"}
        with told(self._uri, planned=True):
            self._file = place.system.open(place.path, "rb", **options)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        with told(self._uri, planned=True):
            content = self._file.read(len(target))
        target[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
