"""Our search and its peers on the same queries, each in fresh processes, by turns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from farthing.indexing.evaluation.metrics import score
from farthing.search.publishing import read_manifest
from farthing.search.segments import Segment
from farthing.storage import open_storage
from tests.bench.cold import script
from tests.bench.judged import embed_bundle
from tests.bench.results import p50
from tests.bench.surroundings import PYTHON, skip, told_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.indexing.evaluation.queries import Query
    from tests.bench.judged import Collection

TURNS = 3
EXACT = "MiniLM exact"
# NumPy's matrix products would take both cores, and no other stage does.


class Peer(NamedTuple):
    name: str
    p50_ms: float
    p99_ms: float
    rss_mb: float
    ndcg: dict[str, float]


def by_turns(of: Collection, folder: Path) -> tuple[dict[str, Any], list[Peer]]:
    """Medians of our figures, and every peer that is installed here, each in fresh processes."""
    asked = of.test_queries()
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch, "queries.json")
        texts.write_bytes(msgspec.json.encode([query.text for query in asked]))
        vectors = Path(scratch, "vectors.npy")
        ids = _save_vectors(folder, vectors)
        bundle = str(embed_bundle())
        commands = {
            "ours": script(PYTHON, "search_process", str(folder), bundle, str(texts)),
            EXACT: script(PYTHON, "peer_exact", str(vectors), bundle, str(texts)),
        }
        peers_python = _peers_python()
        if peers_python is not None:
            commands["bm25s"] = script(peers_python, "peer_bm25s", str(of.documents), str(texts))
        told: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
        for _ in range(TURNS):
            for name, command in commands.items():
                told[name].append(told_by(command))
    ours = medians(told.pop("ours"))
    for turn in told[EXACT]:
        turn["rankings"] = [[ids[row] for row in ranking] for ranking in turn["rankings"]]
    return ours, [_peer(name, turns, of, asked) for name, turns in told.items()]


def _peer(name: str, turns: list[dict[str, Any]], of: Collection, asked: list[Query]) -> Peer:
    scores: dict[str, list[float]] = {}
    for query, ranking in zip(asked, turns[0]["rankings"], strict=True):
        scores.setdefault(query.kind, []).append(score(ranking, of.qrels[query.id]).ndcg)
    told = medians(turns)
    ndcg = {kind: float(np.mean(some)) for kind, some in scores.items()}
    return Peer(name, told["p50_ms"], told["p99_ms"], told["rss_mb"], ndcg)


def _save_vectors(folder: Path, file: Path) -> list[str]:
    """Every document's vector as float32, and the ids in the same order."""
    manifest = read_manifest(open_storage(str(folder)))
    ids: list[str] = []
    vectors = []
    for entry in manifest.segments:
        segment = Segment.open(folder, entry, manifest)
        rows = np.arange(segment.rows)
        ids += segment.ids(rows)
        vectors.append(segment.vectors(rows))
    np.save(file, np.concatenate(vectors))
    return ids


def medians(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of numbers, and of the numbers inside; what is no number is left out."""
    found: dict[str, Any] = {}
    for name, value in turns[0].items():
        if isinstance(value, dict):
            found[name] = medians([turn[name] for turn in turns])
        elif isinstance(value, float | int):
            found[name] = p50([turn[name] for turn in turns])
    return found


def _peers_python() -> Path | None:
    """An interpreter with bm25s and PyStemmer: that of FARTHING_PEERS_PYTHON."""
    stated = os.environ.get("FARTHING_PEERS_PYTHON")
    if stated and Path(stated).is_file():
        return Path(stated)
    skip("bm25s", "FARTHING_PEERS_PYTHON names no interpreter that has bm25s and PyStemmer")
    return None
