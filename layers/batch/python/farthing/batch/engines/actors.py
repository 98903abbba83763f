"""Ray's actors: processes on one core that open the bundle once and run shards, one at a time.

A shard takes seconds and handing it over a millisecond, so no actor has a queue. Ray restarts none
and repeats nothing: it would do so uncounted, and on the same kind of machine as before. A worker
that dies is replaced here. On a cluster that is an interruption of the job, and after so many of
them actors go to machines that nobody takes away: those with Ray's resource `on_demand`.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from farthing.batch.engines import ATTEMPTS_MAX, Failed, Finished, Lost, Started
from farthing.batch.errors import EngineUnavailable, Interrupted
from farthing.batch.interruption import count_interruption, placement
from farthing.errors import FarthingError
from farthing.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.batch.engines import Event
    from farthing.batch.interruption import Stop
    from farthing.batch.job import Done, Job, Shard
    from farthing.batch.jobs import Opened
    from farthing.batch.shards import ShardRunner
    from farthing.settings import Settings

LISTEN_S: Final = 0.2
# A worker looks up between its windows, of some seconds at most.
END_S_MAX: Final = 20.0
# An autoscaler takes minutes to bring a machine, and longer where its image has to be fetched.
START_S_MAX: Final = 1200.0
# A crumb for each actor, so that the machine's number of them bounds nothing.
ON_DEMAND: Final = {"on_demand": 0.001}


class Worker:
    """What an actor does, for one job.

    Without `settings` they are those of its own machine, whose price its shards have.
    """

    def __init__(self, job: Job, settings: Settings | None) -> None:
        self._job = job
        self._settings = settings
        self._stopped = threading.Event()
        self._runner: ShardRunner

    def open(self) -> None:
        """Opens the bundle. What fails here is told as it is; in `__init__` Ray would wrap it."""
        from farthing.batch.inputs import Reader
        from farthing.batch.scoring import Scorer
        from farthing.batch.shards import ShardRunner
        from farthing.storage import open_storage

        job, settings = self._job, self._settings or read_settings(os.environ)
        scorer = Scorer.open(job, settings, threads=1)
        self._runner = ShardRunner(job, open_storage(job.out), scorer, Reader(job), settings)

    def run(self, shard: Shard, attempt: int) -> Done:
        """What the shard came to. Raises `Interrupted` after `stop`."""
        return self._runner.run(
            shard, request_id=str(uuid.uuid4()), attempt=attempt, stop=self._stopped.is_set
        )

    def stop(self) -> None:
        """Ends the shard that runs, after its window."""
        self._stopped.set()


class _Task(NamedTuple):
    """What an actor is doing: a shard, or opening the bundle where there is none."""

    worker: Any
    shard: Shard | None
    started_ns: int


class Crew:
    """The actors of one run: who does what, what waits, and how often each was tried.

    `ray` is the package, connected.
    """

    def __init__(
        self,
        ray: Any,
        opened: Opened,
        settings: Settings,
        report: Callable[[Event], None],
        on_cluster: bool,
    ) -> None:
        self._ray = ray
        self._opened = opened
        self._settings = None if on_cluster else settings
        self._report = report
        self._on_cluster = on_cluster
        # One thread runs shards, the other one hears that it shall stop.
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_concurrency=2)(Worker)
        self._tasks: dict[Any, _Task] = {}
        self._waiting: deque[Shard] = deque()
        self._attempts: Counter[int] = Counter()
        self._stillborn = 0
        self._is_ending = False

    def run(self, shards: Sequence[Shard], workers: int, stop: Stop) -> None:
        """Until every shard is done or given up, or until `stop`."""
        self._waiting.extend(sorted(shards, key=lambda shard: shard.number))
        try:
            for _ in range(min(workers, len(shards))):
                self._hire()
            idle_since_s = time.monotonic()
            while (self._waiting or self._is_busy) and not stop.is_set():
                self._listen()
                if self._is_busy:
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s > START_S_MAX:
                    raise EngineUnavailable(
                        f"Ray gave no worker a place in {START_S_MAX:.0f} s. A worker takes one CPU"
                        + (" and the resource on_demand" if self._wants_on_demand else "")
                        + ": look at `ray status` for machines that have them."
                    )
            if stop.is_set():
                self._end()
        finally:
            for task in self._tasks.values():
                self._ray.kill(task.worker)

    @property
    def _is_busy(self) -> bool:
        return any(task.shard is not None for task in self._tasks.values())

    @property
    def _wants_on_demand(self) -> bool:
        return self._on_cluster and placement(self._opened.storage) == "on-demand"

    def _end(self) -> None:
        """Waits for the shards that run to end after their windows; no other begins."""
        self._is_ending = True
        self._waiting.clear()
        for task in self._tasks.values():
            task.worker.stop.remote()
        deadline_s = time.monotonic() + END_S_MAX
        while self._is_busy and time.monotonic() < deadline_s:
            self._listen()

    def _hire(self) -> None:
        actor = self._actor
        if self._wants_on_demand:
            actor = actor.options(resources=ON_DEMAND)
        worker = actor.remote(self._opened.job, self._settings)
        self._tasks[worker.open.remote()] = _Task(worker, None, time.monotonic_ns())

    def _give(self, worker: Any) -> None:
        """The next shard; a worker that there is none for is let go."""
        if not self._waiting:
            self._ray.kill(worker)
            return
        shard = self._waiting.popleft()
        self._attempts[shard.number] += 1
        attempt = self._attempts[shard.number]
        given = worker.run.remote(shard, attempt)
        self._tasks[given] = _Task(worker, shard, time.monotonic_ns())
        self._report(Started(shard, attempt))

    def _listen(self) -> None:
        """Hears, for a moment, what workers came to."""
        heard, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=LISTEN_S)
        for given in heard:
            task = self._tasks.pop(given)
            try:
                done = self._ray.get(given)
            except self._ray.exceptions.RayError as error:
                self._ray.kill(task.worker)
                self._lose(task, error)
            else:
                self._stillborn = 0
                if task.shard is not None:
                    self._report(Finished(done))
                self._give(task.worker)

    def _lose(self, task: _Task, error: Any) -> None:
        """A worker is gone, or told what is wrong: another one takes its place.

        Raises what is wrong with the job as a whole.
        """
        cause = error.cause if isinstance(error, self._ray.exceptions.RayTaskError) else None
        reason = _why(cause) if cause else f"its worker or its machine died ({_name(error)})"
        if task.shard is not None:
            self._report(Lost(task.shard, reason, time.monotonic_ns() - task.started_ns))
        if isinstance(cause, FarthingError) and not isinstance(cause, Interrupted):
            raise cause
        if cause is None and self._on_cluster:
            count_interruption(self._opened.storage, reason)
        if self._is_ending:
            return
        if task.shard is not None:
            self._again(task.shard, reason)
        else:
            self._stillborn += 1
            if self._stillborn >= ATTEMPTS_MAX:
                raise EngineUnavailable(
                    f"No shard can begin, since with every worker {reason}. Look into Ray's logs."
                )
        if self._waiting:
            self._hire()

    def _again(self, shard: Shard, reason: str) -> None:
        if self._attempts[shard.number] < ATTEMPTS_MAX:
            self._waiting.appendleft(shard)
        else:
            self._report(Failed(shard, reason))


def _why(cause: BaseException) -> str:
    """What a worker told; of a fault of its own the kind alone, for its text may hold a row's."""
    if isinstance(cause, FarthingError):
        return str(cause)
    return f"the worker met a fault of its own ({_name(cause)})"


def _name(error: BaseException) -> str:
    return type(error).__name__
