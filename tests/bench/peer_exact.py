"""A peer of search by meaning: MiniLM's cosine to every document, in the fewest lines.

Run by `search`. Arguments: float32 vectors of all documents (.npy), the embedder's folder, a JSON
file of query texts. Prints JSON: times, memory, and the first 100 rows of each query.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder

TOP_K = 100


def main() -> None:
    vectors_file, bundle, queries = sys.argv[1:]
    documents = np.load(vectors_file)
    embedder = Embedder(Bundle.open(Path(bundle)))
    taken_ms, rankings = [], []
    for text in json.loads(Path(queries).read_text(encoding="utf-8")):
        started = time.perf_counter()
        scores = documents @ embedder.vectors([text])[0]
        best = np.argpartition(-scores, TOP_K)[:TOP_K]
        best = best[np.argsort(-scores[best])]
        taken_ms.append((time.perf_counter() - started) * 1000)
        rankings.append(best.tolist())
    told = {
        "p50_ms": float(np.median(taken_ms)),
        "p99_ms": float(np.quantile(taken_ms, 0.99)),
        "rss_mb": psutil.Process().memory_info().rss / (1 << 20),
        "rankings": rankings,
    }
    print(json.dumps(told))


main()
