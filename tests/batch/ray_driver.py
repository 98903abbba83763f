"""A process that runs jobs on Ray, one after the other: `python -m tests.batch.ray_driver WISHES`.

Ray belongs to a process of its own: it starts threads and takes signals over. Prints JSON: what
was reported and raised of each run, and what the process was like afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import psutil

from farthing.batch.engines import Event, Finished, Started
from farthing.batch.engines import actors as engine_actors
from farthing.batch.engines.ray import RayEngine
from farthing.batch.interruption import Stop, placement
from farthing.batch.jobs import open_job
from farthing.errors import FarthingError
from tests.batch.jobs import parts, settings_of

if TYPE_CHECKING:
    from farthing.batch.job import Done, Shard


class Run(msgspec.Struct):
    """The first `kill_times` attempts at the shards `kill_at` are answered by SIGKILL to all actors
    below `root_pid`, which is this process where it starts a Ray of its own.
    """

    out: str
    models: str
    workers: int = 2
    address: str | None = None
    kill_at: tuple[int, ...] = ()
    kill_times: int = 1
    stop_after: int = 0
    root_pid: int = 0


_NONE = 1e9


def _steady() -> float:
    """How much of the resource `on_demand` is free."""
    import ray

    return float(ray.available_resources().get("on_demand", _NONE))


def actors(root_pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(root_pid).children(recursive=True):
        # One may have ended meanwhile.
        with suppress(psutil.Error):
            if any(word.startswith("ray::Worker") for word in process.cmdline()):
                found.append(process)
    return found


def held_at(run: Run) -> type[engine_actors.Worker]:
    """Workers that end no shard at which they are to be killed, however late the kill comes."""
    # Ray takes the class to the workers by its contents, which have no module of this name.
    kill_at, kill_times = run.kill_at, run.kill_times

    class Worker(engine_actors.Worker):
        def run(self, shard: Shard, attempt: int) -> Done:
            if shard.number in kill_at and attempt <= kill_times:
                threading.Event().wait()
            return super().run(shard, attempt)

    return Worker


def do(run: Run) -> dict[str, Any]:
    with patch.object(engine_actors, "Worker", held_at(run)):
        return _do(run)


def _do(run: Run) -> dict[str, Any]:
    opened, stop = open_job(run.out), Stop()
    told: dict[str, Any] = {"events": [], "raised": None, "steady": _NONE}

    def report(event: Event) -> None:
        number = event.done.number if isinstance(event, Finished) else event.shard.number
        told["events"].append((type(event).__name__, number))
        if isinstance(event, Started):
            if number in run.kill_at and event.attempt <= run.kill_times:
                for actor in actors(run.root_pid or os.getpid()):
                    actor.kill()
        elif isinstance(event, Finished):
            told["steady"] = min(told["steady"], _steady())
            if len(opened.done()) == run.stop_after:
                stop.set("enough")

    engine = RayEngine(settings_of(Path(run.models)), run.workers, run.address)
    try:
        engine.run(opened, opened.missing(), report, stop)
    except FarthingError as error:
        told["raised"] = (type(error).__name__, str(error))
    told["placement"] = placement(opened.storage)
    told["rows"] = parts(opened).decode()
    return told


def main() -> None:
    runs = msgspec.json.decode(sys.argv[1], type=list[Run])
    first, *others = runs
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    told = [do(first)]
    process = {
        "signals_kept": all(signal.getsignal(it) is before[it] for it in before),
        "secret_kept": "RAY_AUTH_TOKEN" in os.environ,
    }
    if others:
        # The rest share a Ray, as jobs of a program do that uses Ray for more.
        with RayEngine(settings_of(Path(first.models)), 2, first.address)._connected():
            told += [do(run) for run in others]
    json.dump({"runs": told, "process": process}, sys.stdout)


if __name__ == "__main__":
    main()
