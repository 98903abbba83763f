"""Random traces against the oracle, as many as asked: `python -m tests.bench.traces 10000`."""

from __future__ import annotations

import argparse
import random
import sys
import time

from rich.progress import track

from tests.bench.surroundings import console
from tests.core.traces import Trace

TRACES = 10_000


def main() -> int:
    """0 if all costs and prices add up; 1 naming the first seed whose do not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.traces", description=__doc__)
    parser.add_argument("traces", nargs="?", type=int, default=TRACES)
    parser.add_argument("--seed", type=int, default=0, help="of the first trace")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.traces)
    entries = instances = 0
    started = time.monotonic()
    for seed in track(seeds, console=console, transient=True):
        trace = Trace(random.Random(seed))
        try:
            trace.check()
        except AssertionError:
            console.print_exception()
            console.print(f"[bold red]BROKEN[/] trace {seed} does not add up.")
            return 1
        entries += len(trace.entries)
        instances += len(trace.instances)
    console.print(
        f"{len(seeds):,} traces of {instances:,} instances and {entries:,} entries: costs equal "
        "the providers' bills and prices the invoices, exactly "
        f"({time.monotonic() - started:.0f} s)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
