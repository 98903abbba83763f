"""A fresh process: from nothing to the first answer, then its memory. Run by `start`.

Arguments: a bundle's folder, the number of threads. Input: texts as a JSON list, the first of
which is the first answer. Output, as JSON: marks in seconds on the clock that all processes of
the machine share, the CPU time up to the last of them in seconds, and the largest resident set in
bytes.
"""

from __future__ import annotations

from time import CLOCK_MONOTONIC, clock_gettime, process_time

MARKS = {"interpreter": clock_gettime(CLOCK_MONOTONIC)}

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

PROCESS_STATUS = Path("/proc/self/status")


def mark(name: str) -> None:
    """Notes that the part called `name` ends now."""
    MARKS[name] = clock_gettime(CLOCK_MONOTONIC)


def peak_bytes() -> int:
    """The largest resident set of this process.

    Not getrusage on Linux: there a child inherits the figure of the process that started it, and
    the forge may hold gigabytes.
    """
    if PROCESS_STATUS.exists():
        line = next(
            line for line in PROCESS_STATUS.read_text().splitlines() if line.startswith("VmHWM:")
        )
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Starts as a function does that serves one bundle."""
    import msgspec

    from farthing.inference.bundle import Bundle
    from farthing.inference.tasks import open_task

    mark("imports")
    folder, threads = sys.argv[1:]
    texts = msgspec.json.decode(sys.stdin.buffer.read(), type=list[str])
    model = open_task(Bundle.open(Path(folder)), int(threads))
    mark("open")
    model.compute(model.prepare(texts[:1]))
    mark("first_answer")
    cpu_s = process_time()
    for text in texts:
        model.compute(model.prepare([text]))
    found = {**MARKS, "cpu": cpu_s, "peak_bytes": peak_bytes()}
    sys.stdout.buffer.write(msgspec.json.encode(found))


main()
