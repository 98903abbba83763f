"""`farthing serve` against plain FastAPI over ONNX Runtime: latency alone, throughput crowded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from tests.bench.results import Result, compared, p50, p95
from tests.bench.samples import TITLES, embeddings_body
from tests.bench.servers import HOST, UVICORN, Client, Server, running
from tests.bench.surroundings import LOCAL, PYTHON, bundles, environment, skip

if TYPE_CHECKING:
    from collections.abc import Sequence

P50_RATIO_MAX = 0.7
CONNECTIONS = 32
BLOCKS_PER_ROUND = 10
CALLS_PER_BLOCK = 20
# The first calls of a block find the other contestant's weights in the processor's cache.
SETTLING_CALLS = 5
WRK_S = 3
NS_PER_MS = 1e6
MS_PER_S = 1000

PATH = "/v1/embeddings"
PLAIN_PATH = f"/plain{PATH}"
PEER = "FastAPI + ONNX Runtime"
PLAIN_PEER = "the same returning a dict"
ONE_THREAD_PEER = "the same on one thread, as ours"


def run(rounds: int) -> list[Result]:
    """Both servers are up all the time; one of them is under load at any time."""
    if not bundles("embed"):
        skip("http", "there is no bundle for embed")
        return []
    with ExitStack() as stack:
        ours = stack.enter_context(_farthing())
        peer = stack.enter_context(_peer())
        one_thread = stack.enter_context(_peer(BENCH_THREADS="1"))
        contestants = ((ours, PATH), (peer, PATH), (peer, PLAIN_PATH), (one_thread, PATH))
        _check_same_vectors(contestants)
        return [*_alone(contestants, rounds), *_crowded(contestants, rounds)]


def _farthing() -> AbstractContextManager[Server]:
    if bundles("classify"):
        arguments: Sequence[str] = (str(Path(PYTHON).with_name("farthing")), "serve")
    else:
        skip("farthing serve", "there is no bundle for classify; uvicorn runs functions.embed.app")
        arguments = (*UVICORN, "functions.embed.app:app")
    environ = environment(LOCAL, FARTHING_WORKERS=str(os.cpu_count()))
    return running(arguments, environ, "/readyz")


def _peer(**variables: str) -> AbstractContextManager[Server]:
    """With ONNX Runtime's own defaults, which take every core, unless told otherwise."""
    folder, manifest = bundles("embed")[0]
    environ = environment(
        LOCAL, BENCH_BUNDLE=str(folder), BENCH_MAX_TOKENS=str(manifest.max_tokens), **variables
    )
    return running((*UVICORN, "tests.bench.peer_fastapi:app"), environ, "/readyz")


def _check_same_vectors(contestants: Sequence[tuple[Server, str]]) -> None:
    """Raises `RuntimeError` unless all give the same vector, so that the work is the same."""
    body = embeddings_body(TITLES[0])
    vectors = [
        msgspec.json.decode(Client(server.port).post(path, body))["data"][0]["embedding"]
        for server, path in contestants
    ]
    for vector in vectors[1:]:
        if max(abs(a - b) for a, b in zip(vectors[0], vector, strict=True)) > 0.02:
            raise RuntimeError("The contestants' vectors differ, so they do not do the same work.")


def _alone(contestants: Sequence[tuple[Server, str]], rounds: int) -> list[Result]:
    """One connection each, used in short blocks by turns."""
    bodies = [embeddings_body(title) for title in TITLES]
    clients = [(Client(server.port), path) for server, path in contestants]
    taken_ms: list[list[float]] = [[] for _ in contestants]
    busy_ms = [0.0 for _ in contestants]
    for _ in range(rounds * BLOCKS_PER_ROUND):
        for place, (client, path) in enumerate(clients):
            before_ms = _cpu_ms(contestants[place][0])
            for call in range(SETTLING_CALLS + CALLS_PER_BLOCK):
                started_ns = time.perf_counter_ns()
                client.post(path, bodies[call % len(bodies)])
                if call >= SETTLING_CALLS:
                    taken_ms[place].append((time.perf_counter_ns() - started_ns) / NS_PER_MS)
            busy_ms[place] += _cpu_ms(contestants[place][0]) - before_ms
    ours, peer, plain, one_thread = taken_ms
    calls = rounds * BLOCKS_PER_ROUND * (SETTLING_CALLS + CALLS_PER_BLOCK)
    target, met = f"≤ {P50_RATIO_MAX} × peer", p50(ours) <= P50_RATIO_MAX * p50(peer)
    return [
        compared(f"1 connection, against {PEER}", p50(ours), p50(peer), "ms p50", target, met),
        compared(f"1 connection, against {PLAIN_PEER}", p50(ours), p50(plain), "ms p50"),
        compared(f"1 connection, against {ONE_THREAD_PEER}", p50(ours), p50(one_thread), "ms p50"),
        compared(f"1 connection, against {PEER}", p95(ours), p95(peer), "ms p95"),
        compared(
            f"processor time of a request, against {PEER}",
            busy_ms[0] / calls,
            busy_ms[1] / calls,
            "ms mean",
        ),
    ]


def _cpu_ms(server: Server) -> float:
    """What the server's threads have computed so far; waiting and other processes do not count."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system) * MS_PER_S


def _crowded(contestants: Sequence[tuple[Server, str]], rounds: int) -> list[Result]:
    if shutil.which("wrk") is None:
        skip(f"http with {CONNECTIONS} connections", "wrk is not installed")
        return []
    per_s: list[list[float]] = [[] for _ in contestants]
    for _ in range(max(1, rounds // 2)):
        for (server, path), samples in zip(contestants, per_s, strict=True):
            samples.append(_wrk(server.port, path))
    ours, peer, plain, one_thread = map(p50, per_s)
    return [
        compared(f"{CONNECTIONS} connections, against {PEER}", ours, peer, "requests/s"),
        compared(f"{CONNECTIONS} connections, against {PLAIN_PEER}", ours, plain, "requests/s"),
        compared(
            f"{CONNECTIONS} connections, against {ONE_THREAD_PEER}", ours, one_thread, "requests/s"
        ),
    ]


def _wrk(port: int, path: str) -> float:
    """Requests per second. Raises `RuntimeError` where any was not answered with 200."""
    script = Path(__file__).with_name("post.lua")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WRK_S}s", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"],
        env={**os.environ, "BENCH_BODY": embeddings_body(TITLES[0]).decode()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk could not load {path}: {output}")
    return float(rate[1])
