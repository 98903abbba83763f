"""Named files that are replaced in one step, with a check of what was there.

Names are relative, with `/` between folders; parts that begin with a dot are no names.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol

from farthing.errors import NameInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
NAME_CHARS_MAX: Final = 512


class Whatever(Enum):
    """What a write may replace: `ANY` is whatever is there, and nothing too."""

    ANY = "any"


ANY: Final = Whatever.ANY
Expect = str | None | Literal[Whatever.ANY]


class Storage(Protocol):
    """Files by name, in a folder or a bucket; safe from several threads and processes at once.

    Whoever changes a file asks for `etag` first, then reads, then writes with `expect=etag`: what
    is published in between makes the write fail, never vanish. All raise `StorageUnavailable`
    where the storage does not answer or takes nothing, `NameInvalid` for what is no name.
    """

    @property
    def url(self) -> str:
        """The address for people and messages, without secrets."""

    def read(self, name: str) -> bytes:
        """A whole file. Raises `FileMissing` where it is not there."""

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        """A file from byte `start` on, in pieces of up to about 1 MB.

        Raises `FileMissing` where it is not there, `FileArchived` where it lies in an archive.
        """

    def fetch(self, name: str, target: Path) -> None:
        """Copies a file to `target`, which appears when it is whole; folders are made.

        Raises as `stream` does.
        """

    def write(self, name: str, content: bytes | Path, *, expect: Expect = ANY) -> str:
        """Puts a file there in one step and durably; gives its new etag.

        `expect` None: only where none is; an etag: only in its place. Raises `PublishConflict`
        where that is not so.
        """

    def etag(self, name: str) -> str | None:
        """What changes whenever the file's bytes do; None where there is no file."""

    def names(self, prefix: str = "") -> Iterator[str]:
        """All names that begin with `prefix`, in order of their characters."""

    def delete(self, name: str) -> None:
        """Removes a file; nothing happens where there is none."""


def checked_name(name: str) -> str:
    """`name`, where it names a file inside of the storage. Raises `NameInvalid` otherwise."""
    if len(name) > NAME_CHARS_MAX or not NAME.fullmatch(name):
        raise NameInvalid(
            "A file was asked for by a name that is none (letters, digits, dots, dashes "
            "and underscores, `/` between folders). Take what names it from a source you trust."
        )
    return name
