"""Vector stores side by side, the embedded one and those whose clients are installed.

`.venv-stores/bin/python -m tests.bench stores`. Vectors of 384 dims around a thousand centres, as
titles' are; Pinecone is no part of it, because a stub's times say nothing of the service's.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farthing.search.manifest import EmbedderFacts, Filter
from farthing.search.stores import Item, Label, open_store
from tests.bench.results import Result, compared, p50
from tests.bench.surroundings import skipped
from tests.contracts.vector_stores import chroma_server, is_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.search.stores import VectorStore

ROWS, CENTRES, DIMS = 10_000, 1_000, 384
NEAREST = 100
LABEL = Label(EmbedderFacts("bench", "0" * 64, DIMS), (Filter("kind"),))


def run(rounds: int) -> list[Result]:
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(CENTRES, DIMS))
    rows = _unit(centres[rng.integers(0, CENTRES, ROWS)] + rng.normal(size=(ROWS, DIMS)) * 0.7)
    queries = _unit(rows[:: ROWS // (rounds * 10)] + rng.normal(size=DIMS) * 0.02)
    results: list[Result] = []
    ours: dict[str, float] = {}
    with ExitStack() as stack:
        for kind, store in _stores(stack):
            figures = _figures(store, rows, queries)
            ours = ours or figures
            results += [
                compared(f"{kind}: {name}", value, ours[name], name.rpartition(", ")[2])
                for name, value in figures.items()
            ]
    return results


def _stores(stack: ExitStack) -> Iterator[tuple[str, VectorStore]]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    urls = {
        "embedded": f"embedded:{folder}/embedded",
        "chroma": f"chroma:{folder}/chroma",
        "milvus": f"milvus:{folder}/vectors.db",
    }
    for kind, url in urls.items():
        if not is_installed(kind):
            skipped(f"{kind}: its client is not installed; `make test-stores` makes .venv-stores")
            continue
        yield kind, stack.enter_context(closing(open_store(url, LABEL)))
    if is_installed("chroma-server"):
        port, _ = stack.enter_context(chroma_server(folder))
        url = f"chroma+http://127.0.0.1:{port}/things"
        yield "chroma server", stack.enter_context(closing(open_store(url, LABEL)))


def _figures(store: VectorStore, rows: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    started = time.perf_counter()
    store.upsert(
        Item(f"item-{n}", row, {"n": n, "kind": "ab"[n % 2]}) for n, row in enumerate(rows)
    )
    upsert_s = time.perf_counter() - started
    found = [{one.id for one in store.nearest(query, NEAREST)} for query in queries]
    exact = np.argsort(-(queries @ rows.T), axis=1)[:, :NEAREST]
    wanted = [{f"item-{n}" for n in best} for best in exact.tolist()]
    recall = np.mean([len(a & b) / NEAREST for a, b in zip(found, wanted, strict=True)])
    ids = [f"item-{n}" for n in exact[0].tolist()]
    return {
        "1,000 upserts, ms": upsert_s * 1e6 / len(rows),
        f"nearest {NEAREST}, ms": _p50_ms(lambda query: store.nearest(query, NEAREST), queries),
        "nearest 100 of half, ms": _p50_ms(
            lambda query: store.nearest(query, NEAREST, {"kind": "a"}), queries
        ),
        f"fetch {NEAREST}, ms": _p50_ms(lambda _: store.fetch(ids), queries),
        "recall of 100, share": float(recall),
    }


def _p50_ms(ask: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    samples = []
    for query in queries:
        started = time.perf_counter()
        ask(query)
        samples.append((time.perf_counter() - started) * 1e3)
    return p50(samples)


def _unit(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled.astype(np.float32)
