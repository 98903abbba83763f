"""A job from what is done of it to its manifest: what is missing is run, all of it is booked."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import msgspec

from farthing.batch.booking import entry_of, lost
from farthing.batch.engines import Failed, Finished, Lost
from farthing.batch.errors import Interrupted, JobUnfinished
from farthing.batch.interruption import count_interruption
from farthing.batch.manifest import finish
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from farthing.batch.engines import Engine, Event
    from farthing.batch.interruption import Stop
    from farthing.batch.jobs import Opened
    from farthing.batch.manifest import Manifest
    from farthing.billing.ledger import Entry, Ledger
    from farthing.settings import Settings

log = logging.getLogger("farthing")


class Begun(msgspec.Struct, frozen=True):
    """The run begins; `rows_done` of the job's rows were done before."""

    rows_done: int
    rows: int


def run_job(
    opened: Opened,
    engine: Engine,
    settings: Settings,
    report: Callable[[Begun | Event], None],
    stop: Stop,
    ledger: Ledger | None = None,
) -> Manifest:
    """The manifest of the finished job, each of whose shards is in the ledger once.

    Checkpoints come first and entries after them, so those that were there before are booked
    again, which changes nothing where it was done. Several runs of a job at once do no harm. The
    time of attempts that came to nothing is the house's.

    Raises `Interrupted` where `stop` was set before the end, `JobUnfinished` where shards are given
    up, `StoreUnavailable` where the ledger does not answer in the end, and what the engine raises;
    all of it can be resumed.
    """
    books = _Books(ledger)
    job, shards = opened.job, opened.plan.shards
    done = opened.done()
    books.keep(*(entry_of(job, done[number], settings) for number in sorted(done)))
    missing = [shard for shard in shards if shard.number not in done]
    failed: list[Failed] = []

    def heard(event: Event) -> None:
        if isinstance(event, Finished):
            books.keep(entry_of(job, event.done, settings))
        elif isinstance(event, Lost):
            books.keep(lost(job, event.busy_ns, str(uuid.uuid4()), settings))
        elif isinstance(event, Failed):
            failed.append(event)
        report(event)

    rows_done = sum(one.rows_in for one in done.values())
    report(Begun(rows_done, sum(shard.rows for shard in shards)))
    try:
        if missing:
            engine.run(opened, missing, heard, stop)
    finally:
        books.close()
    if stop.is_set() and (left := len(opened.missing())):
        if not stop.by_hand:
            count_interruption(opened.storage, stop.reason)
        raise Interrupted(
            f"The run was stopped ({stop.reason}); {len(shards) - left} of {len(shards)} shards "
            f"are done and kept. Go on with `farthing batch resume {job.out}`."
        )
    if failed:
        raise JobUnfinished(
            f"{len(failed)} of {len(shards)} shards were given up; the first is "
            f"{failed[0].shard.number}, because {failed[0].reason}. The others are done. See to "
            f"the cause, then go on with `farthing batch resume {job.out}`."
        )
    return finish(opened, settings)


class _Books:
    """Puts entries into the ledger as they come. While it does not answer they wait, and the work
    goes on: it would have to be paid again otherwise."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._waiting: list[Entry] = []

    def keep(self, *entries: Entry) -> None:
        self._waiting.extend(entries)
        try:
            self._send()
        except StoreUnavailable as error:
            log.warning("%d entries wait for the ledger: %s", len(self._waiting), error)

    def close(self) -> None:
        """Raises `StoreUnavailable` where entries still wait; a later run books them."""
        self._send()

    def _send(self) -> None:
        if self._ledger is not None and self._waiting:
            self._ledger.append(self._waiting)
        self._waiting.clear()
