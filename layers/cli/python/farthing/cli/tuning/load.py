"""Calls in flight on one vCPU: what more of them bring, over HTTP as on Knative."""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farthing.cli.tuning.places import RUNNER, own_environ
from farthing.planning.errors import PlanningError
from farthing.planning.knee import Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farthing.cli.tuning.measure import Subject
    from farthing.cli.tuning.quotas import Quota

IN_FLIGHT = (1, 2, 4, 8)
LEVEL_S = 1.5
READY_S_MAX = 60
STOP_S_MAX = 15
POD_MILLI = 1000
POD_MB = 1024
HOST = "127.0.0.1"


def levels(subject: Subject, quota: Quota) -> Sequence[Level]:
    """Calls a second and their median at 1, 2, 4 and 8 calls in flight all the time."""
    from farthing.serving.registry import FUNCTIONS

    path = FUNCTIONS[subject.function].contract.path
    body = json.dumps(subject.event).encode()
    with _server(subject, quota) as port:
        _level(port, path, body, 1)  # the first calls are slower than those that follow
        return [_level(port, path, body, count) for count in IN_FLIGHT]


def _level(port: int, path: str, body: bytes, in_flight: int) -> Level:
    taken_ms: list[list[float]] = [[] for _ in range(in_flight)]
    ends_s = time.monotonic() + LEVEL_S
    threads = [
        threading.Thread(target=_call_until, args=(ends_s, port, path, body, own), daemon=True)
        for own in taken_ms
    ]
    begun_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed_s = time.monotonic() - begun_s
    every = [ms for own in taken_ms for ms in own]
    if not every:
        raise PlanningError(
            "The function refuses over HTTP the event it is timed with. Give another --event, or "
            "--no-knee."
        )
    return Level(in_flight, len(every) / passed_s, statistics.median(every))


def _call_until(ends_s: float, port: int, path: str, body: bytes, taken_ms: list[float]) -> None:
    """Calls one after the other on one connection, at least once; ends at the first refusal."""
    connection = http.client.HTTPConnection(HOST, port, timeout=READY_S_MAX)
    try:
        while not taken_ms or time.monotonic() < ends_s:
            begun_ns = time.perf_counter_ns()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                return
            taken_ms.append((time.perf_counter_ns() - begun_ns) / 1e6)
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


@contextmanager
def _server(subject: Subject, quota: Quota) -> Iterator[int]:
    """The function as a server with one vCPU, ready, on a port of its own."""
    environ = {
        **subject.environ,
        "FARTHING_PLATFORM": "knative",
        "FARTHING_MEMORY_MB": str(POD_MB),
        "FARTHING_VCPU_MILLI": str(POD_MILLI),
        "FARTHING_RECORDER": "none",
    }
    with quota.held(POD_MILLI) as prefix:
        # Handed over as it listens, so that nobody else can take the port meanwhile.
        with socket.create_server((HOST, 0)) as listener:
            port, handle = listener.getsockname()[1], listener.fileno()
            plan = json.dumps({"function": subject.function, "serve": handle})
            process = subprocess.Popen(  # noqa: S603 - our own runner, no shell of the user's
                [*prefix, sys.executable, str(RUNNER), plan],
                env=own_environ(environ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(handle,),
            )
        try:
            _wait_until_ready(process, port)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + READY_S_MAX
    while time.monotonic() < until_s and process.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=READY_S_MAX)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise PlanningError(
        "The function does not start as a server, so its knee cannot be measured. Run `farthing "
        "serve` and see why, or give --no-knee."
    )
