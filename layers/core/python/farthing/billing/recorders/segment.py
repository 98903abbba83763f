"""One file of a spool: entries as lines that are whole or known not to be."""

from __future__ import annotations

import fcntl
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.ledger import Entry

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".spool"
DAMAGED = ".damaged"
FILE_MODE = 0o600
CRC_DIGITS = 8


class Segment:
    """A file whose lock this process holds from when it has it until it lets go of it.

    Raises `OSError` where the disk does not do what it should.
    """

    def __init__(self, file: Path, descriptor: int) -> None:
        self.file = file
        self.entries = 0
        self.size_bytes = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    @classmethod
    def create(cls, file: Path) -> Segment | None:
        """A new one; None where an adopter was quicker to lock the empty file. Waits for nobody."""
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, FILE_MODE)
        return cls(file, descriptor) if _lock(descriptor) else None

    @classmethod
    def adopt(cls, file: Path) -> Segment | None:
        """Another process's, if that is no more; None while it lives. An empty one is removed."""
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        if not _lock(descriptor):
            return None
        segment = cls(file, descriptor)
        if not segment.size_bytes:
            segment.remove()
            return None
        return segment

    def append(self, raw: bytes) -> None:
        """Adds an entry's JSON by one write. What a full disk cut short is taken back."""
        line = b"%08x %s\n" % (zlib.crc32(raw), raw)
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, self.size_bytes)
            raise OSError("the disk took only a part")
        self.size_bytes += written
        self.entries += 1

    def read(self) -> tuple[list[Entry], int]:
        """Its entries, and how many lines are damaged; a last line without its end is neither."""
        entries = []
        damaged = 0
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        for line in data.split(b"\n")[:-1]:
            raw = line[CRC_DIGITS + 1 :]
            try:
                if line[:CRC_DIGITS] != b"%08x" % zlib.crc32(raw):
                    raise ValueError
                entries.append(msgspec.json.decode(raw, type=Entry))
            except ValueError:
                damaged += 1
        return entries, damaged

    def remove(self, *, keep_as_damaged: bool = False) -> None:
        """The ledger has it: removes the file, or sets it aside for somebody to look at."""
        if keep_as_damaged:
            self.file.rename(self.file.with_suffix(DAMAGED))
        else:
            self.file.unlink()
        self.let_go()

    def let_go(self) -> None:
        """Closes the file and leaves it to whoever comes next."""
        os.close(self._descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the file is there and nobody else's; if not, it is closed."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return True
    os.close(descriptor)
    return False
