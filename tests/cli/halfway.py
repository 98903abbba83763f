"""`farthing` as it is typed, whose batch runs wait after their first shard until told to stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from farthing.batch.engines import Finished
from farthing.batch.interruption import Stop
from farthing.cli.batch.progress import Progress
from farthing.cli.main import main

if TYPE_CHECKING:
    from farthing.batch.engines import Event
    from farthing.batch.running import Begun

stops: list[str] = []
set_stop, report = Stop.set, Progress.report


def noted(stop: Stop, reason: str, **more: Any) -> None:
    set_stop(stop, reason, **more)
    stops.append(reason)


def held(progress: Progress, event: Begun | Event) -> None:
    report(progress, event)
    # No lock is waited for: the stop may come from a signal's handler on this very thread.
    while isinstance(event, Finished) and not stops:
        time.sleep(0.01)


if __name__ == "__main__":
    Stop.set = noted  # type: ignore[method-assign]
    Progress.report = held  # type: ignore[method-assign]
    main()
