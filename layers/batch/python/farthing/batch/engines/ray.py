"""Runs shards on Ray: on a cluster's machines, or in a Ray that is started here for the run."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from farthing.batch.engines.actors import Crew
from farthing.batch.errors import EngineUnavailable, JobInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from farthing.batch.engines import Event
    from farthing.batch.interruption import Stop
    from farthing.batch.job import Job, Shard
    from farthing.batch.jobs import Opened
    from farthing.settings import Settings

# About the least that Ray takes: rows go to the storage, and not through Ray.
OBJECTS_BYTES: Final = 80 << 20
# Read at import too. What Ray prints of a worker's death, a page long, is told in a sentence here.
QUIET: Final = {"RAY_DEDUP_LOGS_SKIP_REGEX": "."}


class RayEngine:
    """`workers` actors; without a number, one for each core that Ray has.

    `address` is a cluster's, as `ray.init` takes it, or stands in Ray's own variable `RAY_ADDRESS`.
    Raises `EngineUnavailable` where Ray is not installed.
    """

    name = "ray"

    def __init__(
        self,
        settings: Settings,
        workers: int | None = None,
        address: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._address = address or environ.get("RAY_ADDRESS", "")
        self._variables = {} if self._address else _of_our_own()
        with _environment(self._variables | QUIET):
            self._ray = _load()

    def run(
        self,
        opened: Opened,
        shards: Sequence[Shard],
        report: Callable[[Event], None],
        stop: Stop,
    ) -> None:
        """Also raises `JobInvalid` where a cluster's machines could not reach the job's files, and
        `EngineUnavailable` where Ray does not start, does not answer or gives no worker a place.
        """
        if self._address:
            _check_reachable(opened.job)
        with self._connected():
            cores = int(self._ray.cluster_resources().get("CPU", 0))
            crew = Crew(self._ray, opened, self._settings, report, bool(self._address))
            crew.run(shards, self._workers or max(1, cores), stop)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """While it lasts, this process is a driver of Ray; one that it is already, it stays."""
        if self._ray.is_initialized():
            yield
            return
        own: dict[str, Any] = {
            "num_cpus": self._workers or os.cpu_count(),
            "object_store_memory": OBJECTS_BYTES,
            "include_dashboard": False,
        }
        with _environment(self._variables):
            with _sigterm_kept():
                try:
                    self._ray.init(
                        self._address or "local",
                        log_to_driver=False,
                        configure_logging=False,
                        **({} if self._address else own),
                    )
                except (OSError, RuntimeError, ValueError) as error:
                    where = f"at {self._address}" if self._address else "on this machine"
                    raise EngineUnavailable(
                        f"Ray does not answer or start {where} ({type(error).__name__}). "
                        "Look at `ray status`, or use --engine local."
                    ) from None
            try:
                yield
            finally:
                self._ray.shutdown()


def _load() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise EngineUnavailable(
            "The engine ray needs Ray, which is not installed. "
            "Run `pip install 'farthing[ray]'`, or use --engine local."
        ) from None
    return ray


def _check_reachable(job: Job) -> None:
    """Raises `JobInvalid` for what lies on this machine: a cluster's others have no such files."""
    for address in (job.out, *(given.uri for given in job.inputs)):
        if "://" not in address or address.startswith("file://"):
            raise JobInvalid(
                f"A Ray cluster's machines do not reach {address}, which lies on this one. "
                "Put inputs and output into a bucket, or run without an address of a cluster."
            )


@cache
def _of_our_own() -> dict[str, str]:
    """For a Ray that is started here: it reports to nobody, and has a secret of its own, which it
    would else keep in the user's home. It is read at import: one that is loaded has its own ways.
    """
    if "ray" in sys.modules:
        return {}
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables, where none has a value yet; Ray takes some settings in no other way."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray answers SIGTERM by an exit, and not by the stop that a job is waiting for."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
