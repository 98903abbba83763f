"""Batch jobs beside what most people write: the `transformers` pipeline in float32, on one core.

The same weights on both sides, before and after the forge quantised them. A worker reads a file and
writes rows; the pipeline has its texts in a list and keeps its answers there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench.accuracy import TORCH_PACKAGE
from tests.bench.batch_jobs import OneWorker, open_fresh, titles, write_table
from tests.bench.cold import script
from tests.bench.results import Result, compared, p50
from tests.bench.surroundings import ROOT, bundles, forge_python, skip, told_by

STUDENTS = ROOT / ".cache" / "forge" / "students"
ROWS = 4_000
# The pipeline is slow: a part of the texts tells its pace.
PEER_ROWS = 1_000
# Its default is one text after the other; 0 says so to the peer.
LEAST = {0: 8.0, 32: 4.5}


class Pair(NamedTuple):
    """A bundle and the float32 weights that it was made of."""

    task: str
    model: str
    weights: str


def run(rounds: int) -> list[Result]:
    """Medians of turns; the pipeline in the forge's environment."""
    python = forge_python()
    if python is None:
        skip("batch_pipeline", "there is no forge environment")
        return []
    texts = titles(ROWS, "batch_pipeline")
    return [
        result
        for pair in _pairs()
        if texts
        for result in _side_by_side(pair, python, texts, max(1, rounds // 3))
    ]


def _pairs() -> list[Pair]:
    found = [Pair("embed", bundles("embed")[0][1].name, TORCH_PACKAGE)] if bundles("embed") else []
    for _, manifest in bundles("classify"):
        if manifest.encoder != "wordpiece":
            continue
        checkpoints = sorted(STUDENTS.glob(f"{manifest.name}-*/checkpoint"))
        if checkpoints:
            found.append(Pair("classify", manifest.name, str(checkpoints[0])))
        else:
            skip(f"batch_pipeline {manifest.name}", "its float32 student is not in the cache")
    return found


def _side_by_side(pair: Pair, python: Path, texts: list[str], turns: int) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="farthing-bench-") as scratch:
        folder = Path(scratch)
        source, few = write_table(folder / "titles.csv", texts), folder / "texts.json"
        few.write_bytes(msgspec.json.encode(texts[:: len(texts) // PEER_ROWS]))

        def fresh():
            return open_fresh(source, folder / "out", pair.task, len(texts), model=pair.model)

        worker = OneWorker(fresh())
        worker.run_s(fresh())
        ours: list[float] = []
        peers: dict[int, list[float]] = {batch: [] for batch in LEAST}
        for _ in range(turns):
            ours.append(len(texts) / worker.run_s(fresh()))
            for batch, rates in peers.items():
                command = script(
                    python, "peer_pipeline", pair.task, pair.weights, str(few), str(batch)
                )
                rates.append(told_by(command)["texts_per_s"])
    return [
        compared(
            f"{pair.task} ({pair.model}): a worker, against the float32 pipeline "
            f"{f'in batches of {batch}' if batch else 'at its default'}",
            p50(ours),
            p50(rates),
            "rows/s",
            f"≥ {LEAST[batch]:g} ×",
            p50(ours) >= LEAST[batch] * p50(rates),
        )
        for batch, rates in peers.items()
    ]
