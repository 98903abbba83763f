"""What it takes to start a teacher and hold it: the other side of a bundle's cold start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime
from typing import NamedTuple

from farthing.errors import StartupError

STARTS = 3
TIMEOUT_S = 300
MS_PER_S = 1000
BYTES_PER_MB = 1024 * 1024


class TeacherUnstartable(StartupError):
    """The process that should have held the teacher ended without an answer."""


class TeacherStart(NamedTuple):
    """Medians: milliseconds from nothing to the first answer, and the peak resident set in MB."""

    cold_ms: float
    peak_rss_mb: float


def start_teacher(folder: Path, kind: str, text: str, starts: int = STARTS) -> TeacherStart:
    """Starts `transformers.<kind>` from `folder` in processes of its own, one after the other.

    :raises TeacherUnstartable: if such a process fails.
    """
    command = [sys.executable, str(Path(__file__).with_name("cold_process.py")), str(folder), kind]
    colds, peaks = [], []
    for _ in range(starts):
        begun = clock_gettime(CLOCK_MONOTONIC)
        done = subprocess.run(  # noqa: S603 - this interpreter and a file of this package
            command, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise TeacherUnstartable(
                f"The teacher in {folder} was to be started and ended with {done.returncode} "
                f"({''.join(last) or 'no message'}); look whether its memory suffices."
            )
        told = json.loads(done.stdout)
        colds.append((told["answered"] - begun) * MS_PER_S)
        peaks.append(told["peak_bytes"] / BYTES_PER_MB)
    return TeacherStart(statistics.median(colds), statistics.median(peaks))
