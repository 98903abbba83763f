"""Search over 100,000 products: how good, how fast, how large; and what peers do on the same."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from farthing.indexing.evaluation.run import evaluate
from farthing.inference.bundle import Bundle
from farthing.inference.tasks import Embedder
from farthing.search.engine import Engine
from tests.bench.cold import script
from tests.bench.judged import CATALOGUE, collection, embed_bundle, index_of
from tests.bench.results import Result, at_least, at_most, compared, p50
from tests.bench.search_turns import TURNS, by_turns
from tests.bench.surroundings import PYTHON, bundles, skip, told_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.indexing.evaluation.report import Report
    from tests.bench.judged import Collection, Watched
    from tests.bench.search_turns import Peer

NDCG_MIN = {"prq": 0.72, "faq": 0.52}
KINDS = {"prq": "product names", "faq": "attributes"}
PROSE = ("cranfield", "cisi")
PROSE_NDCG_MIN = 0.40
P_MAX = 0.05
P50_MS_MAX, P99_MS_MAX = 2.5, 6
RSS_MB_MAX = 350
DISK_MB_MAX = 60
BUILD_RSS_MB_MAX = 600
BUILD_RATE_MIN = 0.9


def run(rounds: int) -> list[Result]:
    """Quality is the same each time and measured once; times are medians of turns."""
    catalogue = collection(CATALOGUE, trained=True)
    if catalogue is None or not bundles("embed"):
        skip("search", f"FARTHING_DATA holds no {CATALOGUE}, or there is no embedder")
        return []
    folder, built = index_of(catalogue)
    report = _report(catalogue, folder)
    ours, peers = by_turns(catalogue, folder)
    return [
        *_quality(report, peers),
        *_prose(),
        *_speed(ours, peers),
        *_size(folder, ours, peers),
        *_building(catalogue, built),
    ]


def _report(of: Collection, folder: Path) -> Report:
    engine = Engine.open(folder, Embedder(Bundle.open(embed_bundle())))
    try:
        return evaluate(engine, of.test_queries(), of.qrels)
    finally:
        engine.close()


def _quality(report: Report, peers: Sequence[Peer]) -> list[Result]:
    results = []
    for kind, what in KINDS.items():
        ours = report.default[kind].scores.ndcg
        name = f"nDCG@10, {what} ({report.default[kind].queries} test queries)"
        results.append(at_least(name, ours, NDCG_MIN[kind], ""))
        words = report.bm25[kind].scores.ndcg
        told = f"p {report.significance[kind].p:.4f}"
        results.append(compared("  without re-ranking: our BM25", ours, words, "of 1", told))
        results += [compared(f"  {peer.name}", ours, peer.ndcg[kind], "of 1") for peer in peers]
    return results


def _prose() -> list[Result]:
    """Judged by people, nothing learned: the defaults."""
    results = []
    for name in PROSE:
        of = collection(name, trained=False)
        if of is None:
            skip(f"nDCG@10 of {name}", f"FARTHING_DATA holds no {name}")
            continue
        folder, _ = index_of(of)
        engine = Engine.open(folder, Embedder(Bundle.open(embed_bundle())))
        report = evaluate(engine, of.queries, of.qrels)
        engine.close()
        gain = report.significance["all"]
        results.append(
            compared(
                f"nDCG@10, {name} untrained, against BM25 (p {gain.p:.4f})",
                report.default["all"].scores.ndcg,
                report.bm25["all"].scores.ndcg,
                "of 1",
                f"≥ {PROSE_NDCG_MIN}, p < {P_MAX}",
                report.default["all"].scores.ndcg >= PROSE_NDCG_MIN and gain.p < P_MAX,
            )
        )
    return results


def _speed(ours: dict[str, Any], peers: Sequence[Peer]) -> list[Result]:
    return [
        at_most("warm search, one thread, p50", ours["p50_ms"], P50_MS_MAX, "ms"),
        at_most("warm search, one thread, p99", ours["p99_ms"], P99_MS_MAX, "ms"),
        *(
            Result(f"  of that, {name}", taken, unit="ms")
            for name, taken in ours["stages_ms"].items()
        ),
        *(
            compared(f"p50 against {peer.name}", ours["p50_ms"], peer.p50_ms, "ms")
            for peer in peers
        ),
        *(
            compared(f"p99 against {peer.name}", ours["p99_ms"], peer.p99_ms, "ms")
            for peer in peers
        ),
        Result("opening the index, files checked", ours["open_ms"], unit="ms"),
    ]


def _size(folder: Path, ours: dict[str, Any], peers: Sequence[Peer]) -> list[Result]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    parts: dict[str, int] = {}
    for file in files:
        parts[file.name] = parts.get(file.name, 0) + file.stat().st_size
    largest = sorted(parts.items(), key=lambda part: -part[1])[:6]
    return [
        at_most("memory of a process that searches", ours["rss_mb"], RSS_MB_MAX, "MB"),
        *(compared(f"  against {peer.name}", ours["rss_mb"], peer.rss_mb, "MB") for peer in peers),
        at_most("index on disk", sum(parts.values()) / 1e6, DISK_MB_MAX, "MB"),
        *(Result(f"  of that, {name}", size / 1e6, unit="MB") for name, size in largest),
    ]


def _building(of: Collection, built: Watched | None) -> list[Result]:
    """Embedding is what building takes; a bare loop in as many processes is the bound."""
    if built is None:
        skip("building", "the index was there already")
        return []
    ours = json.loads(built.output)["documents_per_s"]
    processes = os.cpu_count() or 1
    command = script(
        PYTHON, "peer_embedding", str(of.documents), str(embed_bundle()), str(processes)
    )
    bare = p50([told_by(command)["texts_per_s"] for _ in range(TURNS)])
    target, met = f"≥ {BUILD_RATE_MIN} × peer", ours >= BUILD_RATE_MIN * bare
    name = f"building, against bare embedding in {processes} processes"
    return [
        compared(name, ours, bare, "docs/s", target, met),
        at_most("largest memory of building, training too", built.peak_mb, BUILD_RSS_MB_MAX, "MB"),
    ]
