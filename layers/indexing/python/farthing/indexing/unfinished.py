"""What a build has finished so far, for the same build to go on from after it was stopped.

It lies in the folder `.building` of the index, which no reader of the index looks into.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Self

import msgspec

from farthing.search.errors import BuildStopped, CatalogueInvalid
from farthing.search.manifest import SegmentEntry

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

FOLDER = ".building"


class Finished(msgspec.Struct, frozen=True):
    """A whole segment, and how many terms each field has in all of its rows."""

    entry: SegmentEntry
    terms: tuple[int, ...]


class Done(msgspec.Struct, frozen=True):
    """`plan` stands for everything that decides the result; `version` once it is published."""

    plan: str
    finished: tuple[Finished, ...] = ()
    version: int | None = None


class Unfinished:
    """The state of one build, held by one process at a time; use it in a `with`.

    Raises `CatalogueInvalid` where the folder holds another build's state, unless `overwrite`,
    `BuildStopped` where another process is building there.
    """

    def __init__(self, out: Path, plan: str, *, overwrite: bool) -> None:
        self.folder = out / FOLDER
        self._file = self.folder / "progress.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(out)
            found = self._found()
            if found is not None and found.plan != plan and not overwrite:
                raise CatalogueInvalid(
                    f"{out} holds an unfinished build of another file, or with other options. "
                    "Run that one again to finish it, or drop it with --overwrite."
                )
        except BaseException:
            os.close(self._lock)
            raise
        self.resumed = found is not None and found.plan == plan
        self.done = found if found and self.resumed else Done(plan)
        self._remove_debris()
        self._keep(self.done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    @property
    def segments(self) -> Path:
        """Where segments are written until all of them are there."""
        return self.folder / "segments"

    @property
    def spool(self) -> Path:
        """Where the vectors of the next segment wait: a name of its own for each segment."""
        return self.folder / f"vectors-{len(self.done.finished)}.f16"

    @property
    def rows(self) -> int:
        """Documents in finished segments."""
        return sum(each.entry.rows for each in self.done.finished)

    def add(self, finished: Finished) -> None:
        """Keeps that a segment is whole."""
        self._keep(msgspec.structs.replace(self.done, finished=(*self.done.finished, finished)))

    def published(self, version: int) -> None:
        """Keeps that the index is published, and something may be left to do."""
        self._keep(msgspec.structs.replace(self.done, version=version))

    def remove(self) -> None:
        """Nothing is unfinished any more."""
        shutil.rmtree(self.folder)

    def _take(self, out: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildStopped(
                f"{out} is being built by another process. Wait for it, or name another folder "
                "with --out."
            ) from None

    def _found(self) -> Done | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Done)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _keep(self, done: Done) -> None:
        aside = self._file.with_suffix(".new")
        with aside.open("wb") as file:
            file.write(msgspec.json.encode(done))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._file)
        self.done = done

    def _remove_debris(self) -> None:
        """What was written for a segment that did not become whole."""
        self.segments.mkdir(exist_ok=True)
        whole = {each.entry.id for each in self.done.finished}
        for left in self.segments.iterdir():
            if left.name not in whole:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        for left in self.folder.glob("vectors-*"):
            if left != self.spool or not self.resumed:
                left.unlink()
