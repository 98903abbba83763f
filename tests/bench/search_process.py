"""A fresh process that only searches: what a warm search takes, by stage, and what it holds.

Run by `search`. Arguments: the index's folder, the embedder's, a JSON file of query texts.
Prints JSON.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import psutil

from farthing.indexing.evaluation.run import time_searches
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder
from farthing.search.engine import Engine

BYTES_PER_MB = 1024 * 1024


def main() -> None:
    index, bundle, queries = map(Path, sys.argv[1:4])
    texts = msgspec.json.decode(queries.read_bytes(), type=list[str])
    embedder = Embedder(Bundle.open(bundle))
    started_s = time.perf_counter()
    engine = Engine.open(index, embedder)
    opened_ms = (time.perf_counter() - started_s) * 1000
    timing = time_searches(engine, texts)
    told = {
        "open_ms": opened_ms,
        "p50_ms": timing.p50_ms,
        "p99_ms": timing.p99_ms,
        "stages_ms": timing.stages_p50_ms,
        "searches": len(timing.taken_ms),
        "rss_mb": psutil.Process().memory_info().rss / BYTES_PER_MB,
    }
    sys.stdout.buffer.write(msgspec.json.encode(told))


main()
