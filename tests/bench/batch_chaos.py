"""A job under fire at length: `python -m tests.bench.batch_chaos 1000000 --kills 20`.

Its workers and its parent are killed with SIGKILL at random points; its output, rows and bill are
compared with those of the same job left alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.table import Table

from tests.batch.chaos import Job, total_of, write_rows
from tests.bench.surroundings import bundles, console, data, read_rows, skip

ROWS = 1_000_000
KILLS = 20
SHARD_ROWS = 5_000
PAUSE_S = (0.5, 4.0)
CATALOGUE = "product-search/catalogue.tsv.gz"


def main() -> int:
    """0 if nothing of the kills shows in the output and the bill; else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batch_chaos", description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    catalogue = data(CATALOGUE)
    if catalogue is None:
        skip("batch_chaos", f"FARTHING_DATA has no {CATALOGUE}")
        return 0
    models = bundles("classify")[0][0].parent
    titles = [row["title"] for row in read_rows(catalogue)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "titles.tsv"
        write_rows(file, titles, arguments.rows)
        calm = Job(file, folder / "calm", folder / "calm.db", models, SHARD_ROWS)
        job = Job(file, folder / "out", folder / "ledger.db", models, SHARD_ROWS)
        started_s = time.monotonic()
        calm.run()
        calm_s = time.monotonic() - started_s
        started_s = time.monotonic()
        job.run_under_fire(arguments.kills, arguments.seed, PAUSE_S)
        fire_s = time.monotonic() - started_s
        figures = _figures(calm, job, arguments.rows)
    table = Table(title="batch_chaos", title_justify="left", title_style="bold")
    for heading in ("", "left alone", "under fire", "same"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("seconds", f"{calm_s:.0f}", f"{fire_s:.0f}", "")
    killed = f"{job.kills['worker']} workers, {job.kills['parent']} parents"
    table.add_row("kill -9", "0", killed, "")
    for figure, (alone, fire, is_same) in figures.items():
        mark = "[green]yes[/]" if is_same else "[red]no[/]"
        table.add_row(figure, f"{alone:,}", f"{fire:,}", mark)
    console.print(table)
    return 0 if all(is_same for _, _, is_same in figures.values()) else 1


def _figures(calm: Job, job: Job, rows: int) -> dict[str, tuple[int, int, bool]]:
    """What each came to, by plain counting, and whether it is as it should be."""
    bytes_calm, bytes_fire = (
        {name: len(content) for name, content in each.parts().items()} for each in (calm, job)
    )
    ids = Counter(job.ids())
    shards = job.manifest()["shards"]
    entries = job.booked()
    billed = [(entry["number"] - 1, entry["request_id"]) for entry in entries]
    amounts = total_of(shard["amount"] for shard in shards)
    charge = total_of([job.manifest()["charge"]["total"]])
    return {
        "bytes of output": (
            sum(bytes_calm.values()),
            sum(bytes_fire.values()),
            calm.parts() == job.parts(),
        ),
        "ids": (
            rows,
            len(ids),
            len(ids) == rows and set(ids.values()) == {1},
        ),
        "rows of the ledger": (
            len(calm.booked()),
            len(entries),
            billed == [(shard["number"], shard["request_id"]) for shard in shards],
        ),
        "tokens billed": (
            sum(entry["usage"]["prompt_tokens"] for entry in calm.booked()),
            sum(entry["usage"]["prompt_tokens"] for entry in entries),
            [entry["usage"]["prompt_tokens"] for entry in calm.booked()]
            == [entry["usage"]["prompt_tokens"] for entry in entries],
        ),
        "pico-USD of shards and of the charge": (
            int(amounts * 10**12),
            int(charge * 10**12),
            amounts == charge,
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
