"""Runs shards in processes of this machine, one a core; a process that dies is replaced.

Python's own pools give up as a whole where one of their processes is killed.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.batch.engines import ATTEMPTS_MAX, Failed, Finished, Lost, Started
from farthing.batch.errors import EngineUnavailable
from farthing.batch.workers import Broken, Ended, Ready, Setup, Task, start_worker
from farthing.storage.files import told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.batch.engines import Event
    from farthing.batch.interruption import Stop
    from farthing.batch.job import Shard
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

LISTEN_S = 0.2
# A worker that is told to end looks up between two windows of rows, which are some seconds apart.
END_S_MAX = 20.0


class LocalEngine:
    """`workers` processes with one thread each; all the machine's cores where it is not said."""

    name = "local"

    def __init__(self, settings: Settings, workers: int | None = None) -> None:
        self._settings = settings
        self._cpus = _cpus()
        cores = len(self._cpus) if settings.host == "local" else settings.cores
        self._workers = workers or settings.workers or cores

    def run(
        self,
        opened: Opened,
        shards: Sequence[Shard],
        report: Callable[[Event], None],
        stop: Stop,
    ) -> None:
        # Workers that fill the machine keep to a core each; fewer are the system's to place.
        cpus = self._cpus if self._workers == len(self._cpus) else [None] * self._workers
        with told(Path(tempfile.gettempdir())):
            folder = tempfile.TemporaryDirectory(prefix="farthing-", ignore_cleanup_errors=True)
        with folder as path:
            top = Setup(opened.job, self._settings, None, Path(path))
            setups = [top._replace(cpu=cpu) for cpu in cpus[: len(shards)]]
            run = _Run(shards, report)
            try:
                run.go(setups, stop)
            finally:
                run.end()


class _Worker:
    """A process, what it is doing, and since when."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        with told(setup.folder):
            self.folder = Path(tempfile.mkdtemp(dir=setup.folder))
        self.process, self.pipe = start_worker(setup._replace(folder=self.folder))
        self.task: Task | None = None
        self.is_ready = False
        self.since_ns = 0

    def give(self, task: Task | None) -> None:
        """Hands it a shard, or asks it to end, whatever it is doing."""
        if task is not None:
            self.task = task
            self.since_ns = time.monotonic_ns()
        try:
            self.pipe.send(task)
        except OSError:
            # It is dead, which the other direction of the pipe tells, too.
            return

    def why_dead(self) -> str:
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its worker was killed (SIGKILL), as the system does where memory runs out"
        if code < 0:
            return f"its worker was ended by {signal.Signals(-code).name}"
        return f"its worker ended with exit code {code}"


class _Run:
    """One run: who does what, what waits, and how often each was tried."""

    def __init__(self, shards: Sequence[Shard], report: Callable[[Event], None]) -> None:
        self._report = report
        # Rising numbers: a packed file is read onwards, not from its start again.
        self._waiting = deque(Task(shard, 1) for shard in sorted(shards, key=lambda s: s.number))
        self._workers: dict[int, _Worker] = {}
        self._stillborn = 0
        self._is_ending = False

    def go(self, setups: Sequence[Setup], stop: Stop) -> None:
        """Until every shard is done or given up; not much longer than until `stop`."""
        for setup in setups:
            self._start(setup)
        until_s = math.inf
        while self._workers and time.monotonic() < until_s:
            if stop.is_set() and not self._is_ending:
                until_s = time.monotonic() + END_S_MAX
                self._is_ending = True
                self._waiting.clear()
                for worker in self._workers.values():
                    worker.give(None)
            ready = set(wait(list(self._workers), LISTEN_S))
            for number, worker in list(self._workers.items()):
                if number in ready:
                    self._hear(worker)

    def end(self) -> None:
        """Ends every worker, at once."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.wait()
            worker.pipe.close()
        self._workers.clear()

    def _start(self, setup: Setup) -> None:
        worker = _Worker(setup)
        self._workers[worker.pipe.fileno()] = worker

    def _hear(self, worker: _Worker) -> None:
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        task, worker.task = worker.task, None
        if isinstance(answer, Broken):
            if task is not None:
                # A worker that was told to end takes no other shard.
                tries_again = answer.error is None and not self._is_ending
                self._lose(task, answer.reason, answer.busy_ns, tries_again=tries_again)
            if answer.error is not None:
                raise answer.error
        if isinstance(answer, Ready):
            worker.is_ready = True
            self._stillborn = 0
        # The worker gets on with its next shard while this one is told of.
        self._occupy(worker)
        if isinstance(answer, Ended):
            self._report(Finished(answer.done))

    def _occupy(self, worker: _Worker) -> None:
        if self._waiting:
            task = self._waiting.popleft()
            worker.give(task)
            self._report(Started(task.shard, task.attempt))
        elif not self._is_ending:
            worker.give(None)

    def _bury(self, worker: _Worker) -> None:
        """Takes note of a worker's end, and starts another where there is something left to do."""
        del self._workers[worker.pipe.fileno()]
        worker.pipe.close()
        why = worker.why_dead()
        shutil.rmtree(worker.folder, ignore_errors=True)
        if worker.task is not None:
            busy_ns = time.monotonic_ns() - worker.since_ns
            self._lose(worker.task, why, busy_ns, tries_again=not self._is_ending)
        if not worker.is_ready and not self._is_ending:
            self._stillborn += 1
            if self._stillborn == ATTEMPTS_MAX:
                raise EngineUnavailable(
                    f"No worker gets so far as to begin: {why}. See that there is memory for "
                    "--workers processes, or start fewer."
                )
        if self._waiting:
            self._start(worker.setup)

    def _lose(self, task: Task, reason: str, busy_ns: int, *, tries_again: bool) -> None:
        self._report(Lost(task.shard, reason, busy_ns))
        if not tries_again:
            return
        if task.attempt < ATTEMPTS_MAX:
            self._waiting.appendleft(Task(task.shard, task.attempt + 1))
        else:
            self._report(Failed(task.shard, reason))


def _cpus() -> Sequence[int | None]:
    """The cores that this process may use; without their numbers where the system tells none."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [None] * (os.cpu_count() or 1)
