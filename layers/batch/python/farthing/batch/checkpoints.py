"""Checkpoints: what says that a shard is done. There is one of each, whoever was first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from farthing.batch.errors import JobInvalid, OutputExists
from farthing.batch.job import DONE_FOLDER, Done, done_name
from farthing.errors import FileMissing, PublishConflict

if TYPE_CHECKING:
    from farthing.batch.job import Job
    from farthing.storage import Storage

# A bucket answers in milliseconds, and a job has hundreds of shards.
READERS = 16


def read_checkpoint(storage: Storage, job: Job, number: int) -> Done | None:
    """What shard `number` came to; None where it is still to be done.

    Raises `JobInvalid` for a file that is no checkpoint, `OutputExists` for another job's.
    """
    name = done_name(number)
    try:
        raw = storage.read(name)
    except FileMissing:
        return None
    try:
        done = msgspec.json.decode(raw, type=Done)
    except msgspec.MsgspecError as error:
        raise JobInvalid(
            f"{storage.url}/{name} is no checkpoint: {error}. Remove it, and its shard is done "
            "again."
        ) from None
    if done.job != job.id:
        raise OutputExists(
            f"{storage.url} has shards of the job {done.job} where the job {job.id} puts its own. "
            "Wait until that one has ended, or give another place for the output."
        )
    return done


def keep_checkpoint(storage: Storage, job: Job, done: Done) -> Done:
    """The checkpoint that counts: this one, or that of a worker who was first."""
    try:
        storage.write(done_name(done.number), msgspec.json.encode(done), expect=None)
    except PublishConflict:
        return read_checkpoint(storage, job, done.number) or done
    return done


def read_checkpoints(storage: Storage, job: Job) -> dict[int, Done]:
    """All that is done, by number. Raises as `read_checkpoint` does."""
    names = storage.names(DONE_FOLDER)
    numbers = [int(stem) for name in names if (stem := name[len(DONE_FOLDER) :][:-5]).isdecimal()]
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda number: read_checkpoint(storage, job, number), numbers)
        return {done.number: done for done in found if done is not None}
