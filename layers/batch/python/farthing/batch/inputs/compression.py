"""A file's content, unpacked where it is packed, read forward."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, Final, cast

from farthing.batch.errors import InputInvalid
from farthing.batch.inputs.formats import format_of, name_of
from farthing.batch.inputs.sources import Source

if TYPE_CHECKING:
    from typing import BinaryIO

    from typing_extensions import Buffer

    from farthing.batch.inputs.formats import Packing
    from farthing.batch.job import Input

STEP_BYTES: Final = 1 << 20


class Content:
    """`position` counts unpacked bytes. Its first megabyte is kept until it is left, for those who
    look at it first; going back later unpacks a packed file from its start.

    :raises InputInvalid: where the file is not packed as its name says, or ends too early.
    :raises InputChanged: where it is not the one that was planned.
    """

    def __init__(self, given: Input) -> None:
        self._name = name_of(given.uri)
        self._packing = format_of(self._name).packing
        self._source = Source(given)
        self._file = _unpacked(self._source, self._packing)
        self._taken = self.position = 0
        self._head = self._more(STEP_BYTES)

    @property
    def source_position(self) -> int:
        """How many bytes of the file as it lies have been read."""
        return self._source.tell()

    def read(self, count: int) -> bytes:
        """The next bytes: as many as are asked for, or fewer, and none only at the end."""
        if self.position < len(self._head):
            content = self._head[self.position : self.position + count]
        else:
            content = self._more(count)
        self.position += len(content)
        return content

    def skip_to(self, offset: int) -> None:
        """Makes `offset` the position."""
        if not offset <= len(self._head) == self._taken:
            self._head = b""
            self._move(offset)
        self.position = offset

    def close(self) -> None:
        self._source.close()

    def _move(self, offset: int) -> None:
        if not self._packing:
            self._taken = self._source.seek(offset)
            return
        if offset < self._taken:
            self._source.seek(0)
            self._file, self._taken = _unpacked(self._source, self._packing), 0
        while (left := offset - self._taken) > 0 and self._more(min(left, STEP_BYTES)):
            pass

    def _more(self, count: int) -> bytes:
        try:
            content = self._file.read(count)
        # gzip's own error is an OSError too; the source's never arrive as such.
        except (OSError, EOFError, zlib.error) as error:
            early = isinstance(error, EOFError) or "Truncated" in str(error)
            why = "it ends too early" if early else "it is damaged, or packed in another way"
            raise InputInvalid(
                f"{self._name} cannot be unpacked: {why}. Fetch or pack it again."
            ) from error
        self._taken += len(content)
        return content


class _Lent(io.RawIOBase):
    """A source for pyarrow, which closes what it reads when it lets go of it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        return self._source.readinto(buffer)


def _unpacked(source: Source, packing: Packing) -> BinaryIO:
    if packing == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=source, mode="rb"))
    if packing == "zstd":
        # The rest is read without pyarrow. Its reader, unlike zstandard's, tells of a cut file.
        import pyarrow as pa

        lent = pa.PythonFile(_Lent(source), "r")
        return cast("BinaryIO", pa.CompressedInputStream(lent, "zstd"))
    return cast("BinaryIO", source)
