"""Memory of a job on a long file: `python -m tests.bench.batch_memory 10000000`.

The resident memory of the parent and all its workers is added up twice a second, so pages that
they share are counted in each.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.table import Table

from tests.batch.chaos import Job, clean_environ, write_rows
from tests.bench.samples import TITLES
from tests.bench.surroundings import bundles, console

ROWS = 2_000_000
SHARD_ROWS = 20_000
SAMPLE_S = 0.5
MB = 1024 * 1024
TOTAL_MB_MAX = 500


def main() -> int:
    """Prints the figures; 0 unless the job itself fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batch_memory", description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    models = bundles("classify")[0][0].parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "titles.tsv", TITLES, arguments.rows)
        job = Job(
            *(folder / "titles.tsv", folder / "out", folder / "ledger.db", models, SHARD_ROWS),
            workers=arguments.workers,
        )
        started_s = time.monotonic()
        samples = _watched(job)
        seconds = time.monotonic() - started_s
    _show(samples, arguments.rows, seconds)
    return 0


def _watched(job: Job) -> list[tuple[int, float, list[float]]]:
    """Shards done, the parent's MB and each worker's, while the job runs."""
    samples = []
    with subprocess.Popen(job.command, env=clean_environ(), stdout=subprocess.DEVNULL) as parent:
        process = psutil.Process(parent.pid)
        while parent.poll() is None:
            try:
                own = process.memory_info().rss / MB
                workers = [child.memory_info().rss / MB for child in process.children()]
            except psutil.NoSuchProcess:
                continue
            done = job.out / "_farthing" / "done"
            samples.append((len(list(done.glob("*.json"))), own, workers))
            time.sleep(SAMPLE_S)
        if parent.returncode:
            raise RuntimeError(f"The job ended with exit code {parent.returncode}.")
    return samples


def _show(samples: list[tuple[int, float, list[float]]], rows: int, seconds: float) -> None:
    totals = [(done * SHARD_ROWS, own + sum(workers)) for done, own, workers in samples]
    settled = [(at, total_mb) for at, total_mb in totals if at > rows / 4]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope * 1e6
    largest = max(total_mb for _, total_mb in totals)
    table = Table(title="batch_memory", title_justify="left", title_style="bold")
    table.add_column("figure")
    table.add_column("MB", justify="right")
    table.add_column("target")
    table.add_row("parent, most", f"{max(own for _, own, _ in samples):.0f}", "")
    one = max(mb for _, _, workers in samples for mb in workers)
    table.add_row("one worker, most", f"{one:.0f}", "")
    table.add_row("all together, most", f"{largest:.0f}", f"≤ {TOTAL_MB_MAX}")
    table.add_row("growth a million rows, after the first quarter", f"{slope:.1f}", "flat")
    console.print(table)
    console.print(f"{rows:,} rows in {seconds:.0f} s, {rows / seconds:,.0f} rows/s.")


if __name__ == "__main__":
    sys.exit(main())
