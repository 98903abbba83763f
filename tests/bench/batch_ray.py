"""The Ray engine beside Ray Data's own `map_batches`, on the same files, bundle and actors."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.batch_jobs import titles, write_table
from tests.bench.cold import script
from tests.bench.results import Result, compared, p50
from tests.bench.surroundings import PYTHON, bundles, console, skip, told_by

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTORS = 2
FILES = 16
ROWS = {"classify": 200_000, "embed": 16_000}
# Rows that Ray Data hands an actor at once: its best counts.
BATCH_ROWS = (1024, 4096)
RATIO_MIN = 1.0


def run(rounds: int) -> list[Result]:
    """Medians of turns in processes of their own, Ray's start left out."""
    results = []
    for task, rows in ROWS.items():
        texts = titles(rows, f"batch_ray {task}")
        if not bundles(task):
            skip(f"batch_ray {task}", "there is no bundle for it")
        elif texts:
            texts = (texts * (1 + rows // len(texts)))[:rows]
            with tempfile.TemporaryDirectory(prefix="farthing-bench-") as scratch:
                results.append(_side_by_side(task, texts, Path(scratch), max(1, rounds // 3)))
    return results


def _side_by_side(task: str, texts: Sequence[str], folder: Path, turns: int) -> Result:
    source, out = folder / "in", folder / "out"
    source.mkdir()
    each = -(-len(texts) // FILES)
    for number in range(FILES):
        write_table(source / f"{number:02d}.csv", texts[number * each : (number + 1) * each])
    bundle, manifest = bundles(task)[0]
    ours = script(PYTHON, "batch_ray_process", str(source), str(out), task, str(ACTORS), str(each))
    peers = {
        rows: script(
            PYTHON, "peer_ray_data", str(source), str(out), str(bundle), str(ACTORS), str(rows)
        )
        for rows in BATCH_ROWS
    }
    taken_s: dict[int, list[float]] = {0: [], **{rows: [] for rows in BATCH_ROWS}}
    for _ in range(turns):
        for rows, command in {0: ours, **peers}.items():
            shutil.rmtree(out, ignore_errors=True)
            taken_s[rows].append(told_by(command)["taken_s"])
    rates = {rows: len(texts) / p50(samples) for rows, samples in taken_s.items()}
    best = max(BATCH_ROWS, key=lambda rows: rates[rows])
    console.print(
        f"Ray Data by rows handed over: { {rows: round(rates[rows]) for rows in BATCH_ROWS} }"
    )
    return compared(
        f"{task} ({manifest.name}): Ray engine, against Ray Data's map_batches of {best}",
        rates[0],
        rates[best],
        "rows/s",
        f"≥ {RATIO_MIN} ×",
        rates[0] >= RATIO_MIN * rates[best],
    )
