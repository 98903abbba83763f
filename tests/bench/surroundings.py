"""Where the benchmark finds what it needs, and how it says that something is absent."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from farthing.inference.bundle import Manifest, find_bundles
from farthing.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable

# A pipe has no width of its own; this holds the longest figure's name on one line.
WIDTH = None if sys.stdout.isatty() else 132
console = Console(highlight=False, width=WIDTH)
skipped: list[str] = []

# The platforms' own variables, as their runtimes would set them.
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "us-east-1",
}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
FC = {
    "FC_FUNCTION_NAME": "bench",
    "FC_FUNCTION_MEMORY_SIZE": "1024",
    "FARTHING_VCPU_MILLI": "1000",
}
KNATIVE = {
    "FARTHING_PLATFORM": "knative",
    "FARTHING_MEMORY_MB": "1024",
    "FARTHING_VCPU_MILLI": "1000",
}
LOCAL = {"FARTHING_PLATFORM": "local"}


def skip(what: str, why: str) -> None:
    """Says aloud that a comparison is missing from the figures."""
    skipped.append(f"{what}: {why}")
    console.print(f"[bold yellow]SKIPPED[/] {escape(skipped[-1])}")


def environment(platform: Mapping[str, str], **more: str) -> dict[str, str]:
    """This process's environment as if on `platform`, for a process of its own.

    Without a cache, unless one is asked for: what is timed is computed each time.
    """
    platforms = {*LAMBDA, *FC, *KNATIVE}
    kept = {name: value for name, value in os.environ.items() if name not in platforms}
    return {**kept, "FARTHING_CACHE": "off", **platform, **more}


@contextmanager
def environ(platform: Mapping[str, str]) -> Iterator[None]:
    """This very process, as if on `platform`."""
    before, during = dict(os.environ), environment(platform)
    os.environ.clear()
    os.environ.update(during)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def bundles(task: str) -> list[tuple[Path, Manifest]]:
    """The bundles of the task that are served here; the first is the default."""
    settings = read_settings(environment(LOCAL))
    return list(find_bundles(settings.models, task))


def forge_python() -> Path | None:
    """The interpreter that has the training stack, for the peers that need it."""
    stated = os.environ.get("FARTHING_FORGE_PYTHON")
    path = Path(stated) if stated else ROOT / ".venv-forge" / "bin" / "python"
    return path if path.is_file() else None


def data(name: str) -> Path | None:
    """A file below FARTHING_DATA."""
    stated = os.environ.get("FARTHING_DATA")
    path = Path(stated, name) if stated else None
    return path if path and path.is_file() else None


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a gzipped, tab-separated table with a header."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def told_by(command: Sequence[str]) -> dict[str, Any]:
    """What the command printed last, as JSON."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(LOCAL, **ONE_THREAD), capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[2]} failed: {done.stderr[-2000:].decode()}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
