"""Entries in files beside the process, until the ledger has them.

Each entry is a line, its CRC-32 in hex before its JSON, written by one write before the answer
goes out. What is written survives the process, however it ends; a machine that loses power may
lose its last moments, and a folder that dies with its container (an image's /tmp) loses what the
ledger had not yet. A live process holds a lock on each of its segments: whoever gets the lock of
another finds an orphan and may send it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.copies import call_in_copies
from farthing.billing.ledger import Entry
from farthing.billing.recorders.flusher import Flusher
from farthing.billing.recorders.segment import SUFFIX, Segment
from farthing.billing.recorders.writer import Writer
from farthing.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.billing.ledger import Ledger

FOLDER_MODE = 0o700
ENTRIES_MAX = 500
MB = 1024 * 1024
# While the disk is full: refusals are recorded too, and new work is refused.
UNWRITTEN_MAX = 10_000
CLOSE_S = 5.0

log = logging.getLogger("farthing")


class SpoolRecorder:
    """Writes entries to a spool, and has a thread send them to the ledger in groups.

    Raises `SettingsError` where the folder cannot be used, or is another user's.
    """

    def __init__(self, folder: Path, size_max_mb: int, ledger: Ledger) -> None:
        self._folder = folder
        self._size_max_bytes = size_max_mb * MB
        self._ledger = ledger
        _prepare(folder)
        self._begin()
        call_in_copies(self._begin_copy)
        self._flusher.start()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._segment: Segment | None = None
        self._segments_made = 0
        self._sealed: deque[Segment] = deque()
        self._size_bytes = 0
        self._unwritten: deque[bytes] = deque(maxlen=UNWRITTEN_MAX)
        self._is_refused = False
        self._flusher = Flusher(self, self._ledger)

    @property
    def is_full(self) -> bool:
        """Whether the spool has reached its size, or the disk refused the last entry."""
        return self._size_bytes >= self._size_max_bytes or self._is_refused

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        with self._lock:
            if self._writer is None:
                self._writer = Writer()
                self._flusher.start()
            writer, number = key or (self._writer.name, self._writer.next_number())
            entry = Entry(writer=writer, number=number, **fields)
            self._unwritten.append(msgspec.json.encode(entry))
            try:
                self._write()
                self._is_refused = False
            except OSError as error:
                # The segment may end in a torn line: it is left as it is, and another begun.
                self._seal()
                if not self._is_refused:
                    log.error("an entry could not be spooled: %s", type(error).__name__)
                self._is_refused = True

    def close(self) -> None:
        """Sends what there is, for 5 s at most; what is left waits for the next process."""
        self._flusher.stop(CLOSE_S)
        with self._lock:
            self._seal()
            while self._sealed:
                self._sealed.popleft().let_go()

    def seal(self) -> list[Segment]:
        """The segments to send: all that this process holds; nothing is added to them any more."""
        with self._lock:
            self._seal()
            return list(self._sealed)

    def remove(self, segment: Segment, *, is_damaged: bool) -> None:
        """The ledger has the segment's entries."""
        with self._lock:
            if segment in self._sealed:
                self._sealed.remove(segment)
                self._size_bytes -= segment.size_bytes
                segment.remove(keep_as_damaged=is_damaged)

    def adopt(self) -> None:
        """Takes over the segments of processes that are no more."""
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            segment = Segment.adopt(file)
            if segment is not None:
                with self._lock:
                    self._sealed.append(segment)
                    self._size_bytes += segment.size_bytes

    def _begin_copy(self) -> None:
        """What the original has open is the original's to send; its locks stay with it."""
        for segment in (*self._sealed, *filter(None, [self._segment])):
            segment.let_go()
        self._begin()

    def _write(self) -> None:
        while self._unwritten:
            if self._segment is None:
                self._segment = self._new_segment()
            size_bytes = self._segment.size_bytes
            self._segment.append(self._unwritten[0])
            self._unwritten.popleft()
            self._size_bytes += self._segment.size_bytes - size_bytes
            if self._segment.entries >= ENTRIES_MAX:
                self._seal()
                self._flusher.wake()

    def _new_segment(self) -> Segment:
        writer = self._writer.name if self._writer else ""
        while True:
            self._segments_made += 1
            segment = Segment.create(self._folder / f"{writer}-{self._segments_made}{SUFFIX}")
            if segment is not None:
                return segment

    def _seal(self) -> None:
        if self._segment is not None:
            self._sealed.append(self._segment)
            self._segment = None


def _prepare(folder: Path) -> None:
    """Makes the folder, for this user only."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise PermissionError
        folder.chmod(FOLDER_MODE)
    except OSError as error:
        raise SettingsError(
            f"FARTHING_SPOOL is a folder that cannot be used ({type(error).__name__}). Set it to "
            "one that this user owns and may write to."
        ) from None
