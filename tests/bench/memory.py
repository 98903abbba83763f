"""Resident memory of an embed server, and whether it grows with the number of calls."""

from __future__ import annotations

import math
import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil

from tests.bench.results import Result, compared
from tests.bench.samples import embeddings_body, varied_texts
from tests.bench.servers import UVICORN, Client, Server, running
from tests.bench.surroundings import KNATIVE, bundles, environment, skip

if TYPE_CHECKING:
    from collections.abc import Sequence

RSS_MB_MAX = 200
# Below this a slope is the allocator settling, not a leak.
GROWTH_MB_MAX = 0.25
FIRST_CALLS = 1_000
SETTLED_CALLS = 2_000
CALLS_PER_ROUND = 1_200
CALLS_PER_SAMPLE = 250
PATH = "/v1/embeddings"
BYTES_PER_MB = 1024 * 1024


def run(rounds: int) -> list[Result]:
    """At least 10,000 calls in the full run; the peer is asked only for the first thousand."""
    if not bundles("embed"):
        skip("memory", "there is no bundle for embed")
        return []
    folder, manifest = bundles("embed")[0]
    environ = environment(
        KNATIVE, BENCH_BUNDLE=str(folder), BENCH_MAX_TOKENS=str(manifest.max_tokens)
    )
    calls_max = max(FIRST_CALLS, rounds * CALLS_PER_ROUND // FIRST_CALLS * FIRST_CALLS)
    with ExitStack() as stack:
        ours = stack.enter_context(
            running((*UVICORN, "functions.embed.app:app"), environ, "/readyz")
        )
        start_mb = _rss_mb(ours)
        rss_mb = _samples(ours, calls_max)
    with running((*UVICORN, "tests.bench.peer_fastapi:app"), environ, "/readyz") as peer:
        peer_mb = _samples(peer, FIRST_CALLS)[FIRST_CALLS]
    first_mb, last_mb = rss_mb[FIRST_CALLS], rss_mb[calls_max]
    target, met = f"≤ {RSS_MB_MAX} MB", first_mb <= RSS_MB_MAX
    name = f"after {FIRST_CALLS:,} calls, against FastAPI + ONNX Runtime"
    return [
        Result("ready, before any call", start_mb, unit="MB"),
        compared(name, first_mb, peer_mb, "MB", target, met),
        Result(f"after {calls_max:,} calls", last_mb, unit="MB"),
        _growth(rss_mb, calls_max),
    ]


def _samples(server: Server, calls: int) -> dict[int, float]:
    """MB after so many calls, of texts from one word to most of the model's window."""
    client = Client(server.port)
    rss_mb = {}
    for call, text in enumerate(varied_texts(calls), start=1):
        client.post(PATH, embeddings_body(text))
        if call % CALLS_PER_SAMPLE == 0:
            rss_mb[call] = _rss_mb(server)
    return rss_mb


def _growth(rss_mb: dict[int, float], calls_max: int) -> Result:
    """The least-squares slope once the server has settled."""
    settled = [calls for calls in rss_mb if calls >= SETTLED_CALLS]
    name = f"growth from {SETTLED_CALLS:,} to {calls_max:,} calls"
    if len(settled) < 3:
        return Result(f"{name}: too few calls", math.nan, unit="MB per 1,000")
    slope_mb = _slope(settled, [rss_mb[calls] for calls in settled]) * 1000
    target = f"none (≤ {GROWTH_MB_MAX})"
    met = slope_mb <= GROWTH_MB_MAX
    return Result(name, slope_mb, unit="MB per 1,000", target=target, met=met)


def _slope(calls: Sequence[int], rss_mb: Sequence[float]) -> float:
    return statistics.linear_regression(calls, rss_mb).slope


def _rss_mb(server: Server) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / BYTES_PER_MB
