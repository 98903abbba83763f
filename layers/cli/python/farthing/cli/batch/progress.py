"""How far a job is: bars on a terminal, else a line now and then, always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Task

    from farthing.batch.engines import Event
    from farthing.batch.running import Begun

LINE_EVERY_S = 10.0


class Progress:
    """Hears of a job: of the bytes read while it is planned, then of its shards."""

    def __init__(self, show: Callable[[str, int, int, str], None]) -> None:
        self._show = show
        self._rows_done = self._rows = 0

    def planning(self, bytes_read: int, bytes_total: int) -> None:
        self._show("Reading", bytes_read, bytes_total, "bytes")

    def report(self, event: Begun | Event) -> None:
        from farthing.batch.engines import Failed, Finished, Lost
        from farthing.batch.running import Begun

        if isinstance(event, Begun):
            self._rows_done, self._rows = event.rows_done, event.rows
            self._show("Scoring", self._rows_done, self._rows, "rows")
        elif isinstance(event, Finished):
            self._rows_done += event.done.rows_in
            self._show("Scoring", self._rows_done, self._rows, "rows")
        elif isinstance(event, Lost):
            tell(f"Shard {event.shard.number} was lost: {event.reason}.")
        elif isinstance(event, Failed):
            tell(f"Shard {event.shard.number} is given up: {event.reason}.")


def tell(sentence: str) -> None:
    """A line for the person who runs the job."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


@contextmanager
def progress() -> Iterator[Progress]:
    """Who hears of a job and shows it."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield Progress(show)
    else:
        yield Progress(_lines())


def _lines() -> Callable[[str, int, int, str], None]:
    told_at = time.monotonic()

    def show(stage: str, done: int, total: int, unit: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= LINE_EVERY_S:
            told_at = time.monotonic()
            tell(f"{stage}: {done:,} of {total:,} {unit}")

    return show


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.table import Column
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        Pace(table_column=Column(min_width=len("100,000/s"), no_wrap=True)),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(stage: str, done: int, total: int, unit: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{stage} {unit}", total=total, completed=done)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
