"""Files of the cache, each written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(StartupError):
    """There is no room for a file of the forge."""


class NotWritable(StartupError):
    """A file of the forge has no place where it was to go."""


@contextlib.contextmanager
def room_for(target: Path) -> Iterator[None]:
    """Turns the system's word for a full disk into `DiskFull`, naming `target`.

    :raises NotWritable: where a file stands for a folder.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise NotWritable(
            f"{target} was to be written, and {error.filename} stands in the way "
            f"({error.strerror}). Name another folder with --cache, --out or --receipts."
        ) from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"{target} cannot be written: the disk is full or its quota is spent. Free some "
                "room, or name another folder with --cache or --out; finished steps are kept."
            ) from None
        raise


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes `target` when the block ends well, else it is removed."""
    with room_for(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as aside:
            fresh = Path(aside) / target.name
            yield fresh
            fresh.replace(target)
