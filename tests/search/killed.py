"""A process that changes an index and is killed at one step of it: `killed.py FOLDER ACTION STEP`.

Steps are counted over what is put on disk for good, file by file and folder by folder, and over
what is deleted. It prints the number of steps where it was not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from farthing.search.changes import Delete, Upsert
from farthing.search.compaction import compact
from farthing.search.publishing import garbage_collect
from farthing.search.updates import apply
from farthing.search.writes import drain
from farthing.storage import LocalStorage
from tests.search.writing import HashEmbedder, record


class Steps:
    """Kills this process right before the last step that it may take; 0 for never."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def before(self, function: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)

        return counted


def main(folder: Path, action: str, step: int) -> None:
    steps = Steps(step)
    os.fsync = steps.before(os.fsync)
    LocalStorage.delete = steps.before(LocalStorage.delete)  # type: ignore[method-assign]
    storage = LocalStorage(folder / "index")
    work = folder / "work"
    if action == "apply":
        changes = [Upsert(record("new", "green shoe")), Delete("a")]
        apply(storage, work, HashEmbedder(), changes)
    elif action == "compact":
        compact(storage, work, everything=True)
        garbage_collect(storage, keep_versions=0, grace_s=0)
    else:
        drain(storage, work, HashEmbedder())
    print(steps.count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
