"""`farthing serve` against LitServe that batches and plain FastAPI over ONNX Runtime.

One connection tells latency; 32 connections with random titles and full vectors tell throughput.
Ours meters, prices and books every call; the peers do not.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import open_task
from tests.bench.batcher import Asking
from tests.bench.peers import (
    CORES,
    LITSERVE_PYTHON,
    PATH,
    bodies_file,
    farthing,
    fastapi,
    litserve,
    wrk,
)
from tests.bench.results import Result, at_least, at_most, compared, p50, p95
from tests.bench.samples import TITLES, embeddings_body, titles
from tests.bench.servers import Client
from tests.bench.surroundings import bundles, skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farthing.inference.tasks import TextModel
    from tests.bench.peers import Load
    from tests.bench.servers import Server

P50_RATIO_MAX = 0.7
CONNECTIONS = 32
P99_MS_MAX = 60
OVER_PEER = {"shared": 2.0, "alone": 1.5}
OVER_BARE = 0.6
BARE_BATCHES = (1, 8, 32)
# The peers take any number of calls; on a busy machine ours would refuse some.
PATIENT = {"FARTHING_QUEUE_MAX_MS": "20000"}
BLOCKS_PER_ROUND = 10
CALLS_PER_BLOCK = 20
# The first calls of a block find the other contestant's weights in the processor's cache.
SETTLING_CALLS = 5
WRK_S = 3
NS_PER_MS = 1e6
MS_PER_S = 1000

PLAIN_PATH = f"/plain{PATH}"
PEER = "FastAPI + ONNX Runtime"
PLAIN_PEER = "the same returning a dict"
ONE_THREAD_PEER = "the same on one thread, as ours"
LITSERVE = "LitServe, batches of 32"


def run(rounds: int) -> list[Result]:
    """All servers are up all the time; one of them is under load at any time."""
    if not bundles("embed"):
        skip("http", "there is no bundle for embed")
        return []
    with ExitStack() as stack:
        ours = stack.enter_context(farthing(**PATIENT))
        peer = stack.enter_context(fastapi())
        one_thread = stack.enter_context(fastapi(BENCH_THREADS="1"))
        contestants = ((ours, PATH), (peer, PATH), (peer, PLAIN_PATH), (one_thread, PATH))
        _check_same_vectors(contestants)
        return [*_alone(contestants, rounds), *_crowded(ours, peer, one_thread, rounds)]


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


def _crowded(ours: Server, peer: Server, one_thread: Server, rounds: int) -> list[Result]:
    if shutil.which("wrk") is None:
        skip(f"http with {CONNECTIONS} connections", "wrk is not installed")
        return []
    with ExitStack() as stack:
        servers = {"shared": ours, PEER: peer, ONE_THREAD_PEER: one_thread}
        models = stack.enter_context(_models_alone())
        servers["alone"] = stack.enter_context(
            farthing(FARTHING_MODELS=str(models), FARTHING_INDEXES=str(models / "none"), **PATIENT)
        )
        if LITSERVE_PYTHON.is_file():
            servers[LITSERVE] = stack.enter_context(litserve())
        else:
            skip(LITSERVE, f"there is no {LITSERVE_PYTHON}; `make peers` makes it")
        bodies = stack.enter_context(bodies_file()).name
        asking = Asking(_model(), titles())
        bare: dict[int, list[float]] = {batch: [] for batch in BARE_BATCHES}
        loads: dict[str, list[Load]] = {name: [] for name in servers}
        for _ in range(max(1, rounds // 2)):
            for name, server in servers.items():
                loads[name].append(wrk(server, bodies, connections=CONNECTIONS, seconds=WRK_S))
            for batch, samples in bare.items():
                samples.append(asking.bare(batch))
    return list(_figures(loads, {batch: p50(samples) for batch, samples in bare.items()}))


def _figures(loads: Mapping[str, Sequence[Load]], bare: Mapping[int, float]) -> Iterator[Result]:
    per_s = {name: p50([load.per_s for load in samples]) for name, samples in loads.items()}
    named = f"{CONNECTIONS} connections"
    for ours, target in OVER_PEER.items():
        peers = {name: rate for name, rate in per_s.items() if name not in OVER_PEER}
        best = max(peers, key=peers.__getitem__)
        for name, rate in peers.items():
            ratio = per_s[ours] / rate
            yield compared(
                f"{named}, texts {ours}, against {name}",
                per_s[ours],
                rate,
                "requests/s",
                f"≥ {target:g} × the best" if name == best else "",
                ratio >= target if name == best else None,
            )
        for name in peers:
            yield compared(
                f"the same, texts {ours}: processor time of a request",
                p50([load.cpu_ms for load in loads[ours]]),
                p50([load.cpu_ms for load in loads[name]]),
                "ms",
            )
        p99_ms = p50([load.p99_ms for load in loads[ours]])
        yield at_most(f"{named}, texts {ours}: p99", p99_ms, P99_MS_MAX, "ms")
        limit = bare[1] if ours == "alone" else bare[8]
        yield at_least(
            f"{named}, texts {ours}: of {CORES} bare threads", per_s[ours] / limit, OVER_BARE, "×"
        )
    for name in loads.keys() - OVER_PEER:
        yield Result(f"{named}, {name}: p99", p50([one.p99_ms for one in loads[name]]), unit="ms")
    for batch, rate in bare.items():
        yield Result(f"{CORES} bare threads, batches of {batch}", rate, unit="texts/s")


def _model() -> TextModel:
    folder, _ = bundles("embed")[0]
    return open_task(Bundle.open(folder))


@contextmanager
def _models_alone() -> Iterator[Path]:
    """A folder of the same bundles, but the manifest of what embeds says that no texts may share a
    run.
    """
    folder, _ = bundles("embed")[0]
    with tempfile.TemporaryDirectory() as temporary:
        for bundle in folder.parent.iterdir():
            Path(temporary, bundle.name).symlink_to(bundle)
        copy = Path(temporary, folder.name)
        copy.unlink()
        shutil.copytree(folder, copy)
        file = copy / "manifest.json"
        manifest = msgspec.json.decode(file.read_bytes())
        manifest["batch_drift"] |= {
            "labels_changed": 1,
            "min_cosine": 0.99,
            "max_abs_difference": 0.01,
        }
        file.write_bytes(msgspec.json.encode(manifest))
        yield Path(temporary)
