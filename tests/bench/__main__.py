"""Runs benchmarks, prints their figures beside the targets, and never fails on time."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime
from rich.markup import escape
from rich.table import Table

from tests.bench.surroundings import console, skipped

if TYPE_CHECKING:
    from tests.bench.results import Result

NAMES = (
    "metering",
    "ledger",
    "recording",
    "settlement",
    "direct",
    "http",
    "overload",
    "cold",
    "cold_billing",
    "warmth",
    "memory",
    "accuracy",
    "quantisation",
    "cascade",
    "knee",
    "planning",
    "containers",
    "search",
    "search_cold",
    "search_growth",
    "stores",
    "batch",
    "batch_ray",
    "batch_pipeline",
    "cache",
    "zipf",
    "cache_faults",
    "batcher",
)
ROUNDS = 9
QUICK_ROUNDS = 3
BUSY_LOAD = 0.5


def main() -> int:
    """0, unless a benchmark is broken or a name is unknown; how fast it was does not matter."""
    arguments = _arguments()
    rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
    figures: dict[str, list[Result]] = {}
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        console.print(f"[bold yellow]The machine is busy[/] (load {load:.1f}): figures will vary.")
    broken = []
    for name in arguments.names or NAMES:
        try:
            figures[name] = import_module(f"tests.bench.{name}").run(rounds)
        except Exception:
            console.print_exception()
            broken.append(name)
        else:
            console.print(_table(name, figures[name]))
    if arguments.json:
        arguments.json.write_text(_as_json(figures, rounds, load), encoding="utf-8")
    for reason in skipped:
        console.print(f"[bold yellow]SKIPPED[/] {escape(reason)}")
    if broken:
        console.print(f"[bold red]BROKEN[/] {', '.join(broken)}")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, not {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return arguments


def _table(name: str, results: list[Result]) -> Table:
    table = Table(title=name, title_justify="left", title_style="bold")
    table.add_column("figure")
    for heading in ("ours", "peer", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("unit", "target", ""):
        table.add_column(heading, no_wrap=True)
    for result in results:
        mark = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[result.met]
        values = (_figure(value) for value in (result.ours, result.peer, result.ratio))
        table.add_row(result.name, *values, result.unit, result.target, mark)
    return table


def _figure(value: float) -> str:
    """About four significant digits, never an exponent; empty for NaN."""
    if math.isnan(value):
        return ""
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(4, max(0, digits))}f}"


def _as_json(figures: dict[str, list[Result]], rounds: int, load: float) -> str:
    document = {
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load_before": load,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "skipped": skipped,
        "benches": {
            name: [result.as_json() for result in results] for name, results in figures.items()
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
