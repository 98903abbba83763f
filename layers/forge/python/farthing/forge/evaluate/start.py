"""A cold start: from an empty process to the first answer, and the memory that answering takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.forge.evaluate.errors import Unmeasurable
from farthing.forge.evaluate.timing import drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = Path(__file__).with_name("start_process.py")
SECONDS_MAX = 120
TEXTS = 100
BUSY_TIMES = 1.5
MS_PER_S = 1000
BYTES_PER_MB = 1024 * 1024
PARTS = ("interpreter", "imports", "open", "first_answer")


class Start(msgspec.Struct, frozen=True):
    """Medians over `starts` fresh processes, in ms; the parts add up to about `cold_ms`.

    `open_ms` is for reading, checking and loading the bundle. `cpu_ms` is the CPU time of all of
    it, which on a machine with nothing else to do is nearly the same. `peak_rss_mb` is the largest
    resident set after a hundred answers, in MiB, the largest of all starts: without a web
    server, which a function has besides.
    """

    starts: int
    cold_ms: float
    interpreter_ms: float
    imports_ms: float
    open_ms: float
    first_answer_ms: float
    cpu_ms: float
    peak_rss_mb: float

    @property
    def was_disturbed(self) -> bool:
        """Whether the starts waited much longer than they worked: the machine was busy."""
        return self.cold_ms > BUSY_TIMES * self.cpu_ms


def measure_start(folder: Path, texts: Sequence[str], *, threads: int, starts: int) -> Start:
    """What it takes to start `starts` times; one start before them fills the file cache.

    :raises Unmeasurable: if the bundle does not answer in a process of its own.
    """
    source = msgspec.json.encode(drawn(texts, TEXTS))
    measured = [_started(folder, source, threads) for _ in range(starts + 1)][1:]
    median_ms = {
        part: statistics.median(one[part] for one in measured) for part in (*PARTS, "cold", "cpu")
    }
    return Start(
        starts=starts,
        cold_ms=median_ms["cold"],
        interpreter_ms=median_ms["interpreter"],
        imports_ms=median_ms["imports"],
        open_ms=median_ms["open"],
        first_answer_ms=median_ms["first_answer"],
        cpu_ms=median_ms["cpu"],
        peak_rss_mb=max(one["peak_mb"] for one in measured),
    )


def _started(folder: Path, source: bytes, threads: int) -> dict[str, float]:
    """Milliseconds of each part, their sum and CPU time, and the peak in MiB.

    `-P` keeps this folder off the path, where a module may hide one of Python's own.
    """
    command = [sys.executable, "-P", str(SCRIPT), str(folder), str(threads)]
    before_s = started_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, our own script
            command, input=source, capture_output=True, check=False, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise Unmeasurable(
            f"A cold start of {folder} was to be measured, but there was no answer within "
            f"{SECONDS_MAX} s. Try again on a machine that is less busy."
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise Unmeasurable(
            f"A cold start of {folder} was to be measured, but its process ended with "
            f"{done.returncode} and said: {said[-1]}. Correct that first."
        )
    marks = msgspec.json.decode(done.stdout, type=dict[str, float])
    found = {"peak_mb": marks["peak_bytes"] / BYTES_PER_MB, "cpu": marks["cpu"] * MS_PER_S}
    for part in PARTS:
        found[part] = (marks[part] - before_s) * MS_PER_S
        before_s = marks[part]
    found["cold"] = (before_s - started_s) * MS_PER_S
    return found
