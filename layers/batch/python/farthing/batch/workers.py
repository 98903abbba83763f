"""A process that runs shards for the local engine, and the pipe to it.

It opens the bundle once, takes shards over the pipe and tells over it what each came to. It lives
no longer than whoever started it: the pipe's end is its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from farthing.batch.errors import EngineUnavailable, Interrupted
from farthing.errors import FarthingError

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.batch.job import Done, Job, Shard
    from farthing.batch.shards import ShardRunner
    from farthing.settings import Settings

START = "from farthing.batch.workers import main; main()"
ORPHANED = 70


class Setup(NamedTuple):
    """What a worker needs before its first shard; `cpu` is the core that it keeps to.

    In `folder` is what it has not finished: it is removed by whoever outlives the other.
    """

    job: Job
    settings: Settings
    cpu: int | None
    folder: Path


class Task(NamedTuple):
    """A shard to run. None in its place asks the worker to end."""

    shard: Shard
    attempt: int


class Ready(NamedTuple):
    """The bundle is open."""


class Ended(NamedTuple):
    """The shard's checkpoint is there."""

    done: Done


class Broken(NamedTuple):
    """The shard, or the worker as a whole, came to nothing. `busy_ns` is the time it took.

    `error` is there where the job as a whole cannot go on.
    """

    reason: str
    busy_ns: int
    error: FarthingError | None = None


Answer = Ready | Ended | Broken


def start_worker(setup: Setup) -> tuple[subprocess.Popen[bytes], Connection[Task | None, Answer]]:
    """A new worker and the pipe to it; its first answer says that it is ready.

    Raises `EngineUnavailable` where the system starts no process.
    """
    ours, theirs = Pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - the command is our own
            # -P: a user's folder is no place to import from. Not -m: the module would be __main__
            # there, and its classes others than those that are sent.
            [sys.executable, "-P", "-c", START, str(theirs.fileno())],
            env={**os.environ, "TMPDIR": str(setup.folder)},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            # What a library prints must not mix with what the command prints.
            stdout=sys.stderr.fileno() if _has_stderr() else subprocess.DEVNULL,
            # A terminal's ^C is for the parent, which ends its workers in order.
            process_group=0,
        )
    except OSError as error:
        ours.close()
        raise EngineUnavailable(
            f"No worker can be started ({error.strerror}). Start fewer with --workers, or make "
            "room for more processes."
        ) from None
    finally:
        theirs.close()
    # One that is dead already is found out by its silence.
    with suppress(OSError):
        ours.send(setup)
    return process, ours


def main() -> None:
    """Runs what it is given until it is told to end, or nobody is there to tell."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        _work(Connection(int(sys.argv[1])))


def _work(pipe: Connection[Answer, Setup | Task | None]) -> None:
    setup = pipe.recv()
    if not isinstance(setup, Setup):
        return
    halted = threading.Event()
    tasks: SimpleQueue[Task | None] = SimpleQueue()
    listening = threading.Thread(
        target=_listen, args=(pipe, tasks, halted, setup.folder), daemon=True
    )
    listening.start()
    started_ns = time.monotonic_ns()
    try:
        runner = _open(setup)
    except FarthingError as error:
        pipe.send(Broken("it cannot begin", time.monotonic_ns() - started_ns, error))
        return
    try:
        pipe.send(Ready())
        while (task := tasks.get()) is not None:
            pipe.send(_answer(runner, task, halted))
    except OSError:
        # The listener hears it too. It removes what is left here, and ends the process after that.
        listening.join()


def _open(setup: Setup) -> ShardRunner:
    """The bundle, opened, and all that a shard needs beside it."""
    if setup.cpu is not None:
        # The system may have taken the core away meanwhile.
        with suppress(OSError):
            os.sched_setaffinity(0, {setup.cpu})
    from farthing.batch.inputs import Reader
    from farthing.batch.scoring import Scorer
    from farthing.batch.shards import ShardRunner
    from farthing.storage import open_storage

    job, settings = setup.job, setup.settings
    scorer = Scorer.open(job, settings, threads=1)
    return ShardRunner(job, open_storage(job.out), scorer, Reader(job), settings)


def _answer(runner: ShardRunner, task: Task, halted: threading.Event) -> Answer:
    started_ns = time.monotonic_ns()
    try:
        return Ended(
            runner.run(
                task.shard,
                request_id=str(uuid.uuid4()),
                attempt=task.attempt,
                stop=halted.is_set,
            )
        )
    except Interrupted:
        return Broken("it was stopped", time.monotonic_ns() - started_ns)
    except FarthingError as error:
        return Broken("the job cannot go on", time.monotonic_ns() - started_ns, error)
    except Exception as error:
        reason = f"its worker met a fault of its own ({type(error).__name__})"
        return Broken(reason, time.monotonic_ns() - started_ns)


def _listen(
    pipe: Connection[Answer, Setup | Task | None],
    tasks: SimpleQueue[Task | None],
    halted: threading.Event,
    folder: Path,
) -> None:
    """Hands tasks on. Ends the process at once where the parent is gone: what it was doing counts
    for nothing, and another does it again."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            _remove(folder)
            os._exit(ORPHANED)
        if task is None:
            halted.set()
        if not isinstance(task, Setup):
            tasks.put(task)


def _remove(folder: Path) -> None:
    """Removes a folder in which another thread is working."""
    gone = folder.with_suffix(".gone")
    # Under another name nobody puts more into it while it is emptied.
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _has_stderr() -> bool:
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
