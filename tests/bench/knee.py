"""How many requests fill a Knative pod of one core, and how busy that core is at 70 % of them."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from tests.bench.results import Result, p50
from tests.bench.samples import TITLES, embeddings_body
from tests.bench.servers import HOST, UVICORN, Client, Server, running
from tests.bench.surroundings import KNATIVE, bundles, environment, skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONCURRENCIES = (1, 2, 4, 8)
# Twice as many in flight take twice as long on one core. Up to the knee they also bring this much
# more throughput; past it they mostly wait.
GAIN_OF_DOUBLING = 1.5
UTILISATION = 0.7
# One server with equal service times and chance arrivals has u + u²/(2 - 2u) requests in flight,
# waiting ones counted (Pollaczek and Khinchine): 0.7 of them at this utilisation.
CHANCE_UTILISATION = 0.48
WRK_S = 1
# Short, so that some fall between two disturbances.
OPEN_LOOP_S = 1
OPEN_LOOPS_PER_ROUND = 2
SPIN_S = 0.0005
SETTLING_CALLS = 200

REQUESTS = {
    "classify": ("/v1/classify", msgspec.json.encode({"inputs": TITLES[0], "top_k": 1})),
    "embed": ("/v1/embeddings", embeddings_body(TITLES[0])),
}


@dataclass(frozen=True)
class Load:
    """What an open loop saw: requests in flight and cores busy, both as averages over time."""

    in_flight: float
    busy_cores: float


def run(rounds: int) -> list[Result]:
    """The server has one core to itself and the clients another, where there are two."""
    if shutil.which("wrk") is None:
        skip("knee", "wrk is not installed")
        return []
    results = []
    for function in REQUESTS:
        if bundles(function):
            results += _function(function, rounds)
        else:
            skip(f"knee of {function}", "there is no bundle for it")
    return results


def _function(function: str, repeats: int) -> list[Result]:
    path, body = REQUESTS[function]
    with _one_core(f"functions.{function}.app:app") as server:
        # By turns, so that what else the machine does falls on all of them alike.
        closed: dict[int, list[tuple[float, float]]] = {count: [] for count in CONCURRENCIES}
        for _ in range(repeats):
            for count, samples in closed.items():
                samples.append(_wrk(server.port, path, body, count))
        # Only now: a connection that idles for five seconds is closed by uvicorn.
        client = Client(server.port)
        service_s = min(_service_s(client, path, body) for _ in range(repeats))
        even_s, chance_s = (
            _evenly(UTILISATION / service_s),
            _by_chance(CHANCE_UTILISATION / service_s),
        )
        even, chance = [], []
        for _ in range(OPEN_LOOPS_PER_ROUND * repeats):
            even.append(_open_loop(server, client, path, body, even_s))
            chance.append(_open_loop(server, client, path, body, chance_s))
    per_s = {count: p50([rate for rate, _ in runs]) for count, runs in closed.items()}
    knee = next(
        (c for c in CONCURRENCIES[:-1] if per_s[2 * c] < GAIN_OF_DOUBLING * per_s[c]),
        CONCURRENCIES[-1],
    )
    return [
        *(Result(f"{function}, {c} in flight", per_s[c], unit="requests/s") for c in CONCURRENCIES),
        *(
            Result(f"{function}, {c} in flight", p50([ms for _, ms in closed[c]]), unit="ms p50")
            for c in CONCURRENCIES
        ),
        Result(f"{function}: the knee", knee, unit="in flight", target="1", met=knee == 1),
        *_loads(f"{function}, arrivals evenly spaced", even),
        *_loads(f"{function}, arrivals by chance, waiting ones counted", chance),
    ]


def _loads(name: str, loads: Sequence[Load]) -> list[Result]:
    """The quietest round: whatever else the machine does can only add to what is in flight."""
    quietest = min(loads, key=lambda load: load.in_flight)
    return [
        Result(name, quietest.in_flight, unit="in flight, mean"),
        Result(name, quietest.busy_cores, unit="of a core busy"),
    ]


@contextmanager
def _one_core(app: str) -> Iterator[Server]:
    """As the manifests run it: one vCPU. Pinning stands in for the container's CPU limit."""
    cores = sorted(os.sched_getaffinity(0))
    environ = environment(KNATIVE, FARTHING_NODE="c7i.xlarge")
    try:
        os.sched_setaffinity(0, {cores[0]})
        with running((*UVICORN, app), environ, "/readyz") as server:
            os.sched_setaffinity(0, set(cores[1:]) or {cores[0]})
            yield server
    finally:
        os.sched_setaffinity(0, cores)


def _wrk(port: int, path: str, body: bytes, connections: int) -> tuple[float, float]:
    """Requests per second and the median in ms, with so many in flight all the time."""
    script = Path(__file__).with_name("post.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{WRK_S}s", "--latency", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"],
        env={**os.environ, "BENCH_BODY": body.decode()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", output)
    if rate is None or median is None or "Non-2xx" in output:
        raise RuntimeError(f"wrk could not load {path}: {output}")
    return float(rate[1]), float(median[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[median[2]]


def _service_s(client: Client, path: str, body: bytes) -> float:
    taken = []
    for _ in range(SETTLING_CALLS):
        started = time.perf_counter()
        client.post(path, body)
        taken.append(time.perf_counter() - started)
    return p50(taken)


def _evenly(rate_per_s: float) -> list[float]:
    return [turn / rate_per_s for turn in range(int(rate_per_s * OPEN_LOOP_S))]


def _by_chance(rate_per_s: float) -> list[float]:
    """Poisson arrivals, the same for the same rate."""
    choose, at, arrivals = random.Random(7), 0.0, []
    while (at := at + choose.expovariate(rate_per_s)) < OPEN_LOOP_S:
        arrivals.append(at)
    return arrivals


def _open_loop(
    server: Server, client: Client, path: str, body: bytes, arrivals_s: Sequence[float]
) -> Load:
    """Sends at the given times, one at once, as queue-proxy with containerConcurrency 1 does.

    A request counts as in flight from its arrival, so while it waits for its turn too: that is
    what the autoscaler is told.
    """
    in_flight_s, busy_before_s = 0.0, _cpu_s(server)
    started = time.perf_counter()
    for arrival_s in arrivals_s:
        _sleep_until(started + arrival_s)
        client.post(path, body)
        in_flight_s += time.perf_counter() - (started + arrival_s)
    wall_s = time.perf_counter() - started
    return Load(in_flight_s / wall_s, (_cpu_s(server) - busy_before_s) / wall_s)


def _sleep_until(moment: float) -> None:
    left_s = moment - time.perf_counter()
    if left_s > SPIN_S:
        time.sleep(left_s - SPIN_S)
    while time.perf_counter() < moment:
        pass


def _cpu_s(server: Server) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)
