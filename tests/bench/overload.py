"""Five times as many calls as can be answered, at a constant rate: what is answered, what refused.

python -m tests.bench overload
python -m tests.bench.overload --seconds 60 --plot overload.png --json overload.json
python -m tests.bench.overload --minutes 30            memory under a full load, every 30 s
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench.peers import bodies_file, farthing, wrk
from tests.bench.results import Result, at_least, at_most, p50
from tests.bench.surroundings import LOCAL, PYTHON, ROOT, bundles, console, environment, skip

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMES = 5
SECONDS = 60
QUICK_SECONDS = 10
GOODPUT_MIN = 0.8
RECOVERY_S_MAX = 2
GROWTH_MB_MAX = 32
CONNECTIONS = 32
CALM_SHARE = 0.5
CALM_S = 6
SETTLE_S = 3
SOAK_EVERY_S = 30
# The first seconds fill the queue, and the pools of memory beside it.
FIRST_S = 3
MB = 1024 * 1024


def run(rounds: int) -> list[Result]:
    """A minute of it, or ten seconds where rounds are few."""
    if not bundles("embed"):
        skip("overload", "there is no bundle for embed")
        return []
    told = measure(SECONDS if rounds > SETTLE_S else QUICK_SECONDS)
    return figures(told)


def measure(seconds: int) -> dict[str, Any]:
    """Capacity, then the overload and half of the capacity, second by second."""
    with ExitStack() as stack:
        server = stack.enter_context(farthing())
        bodies = stack.enter_context(bodies_file()).name
        process = psutil.Process(server.pid)
        loads = [wrk(server, bodies, connections=CONNECTIONS, seconds=SETTLE_S) for _ in range(3)]
        capacity_per_s = p50([load.per_s for load in loads])
        rss_mb = [process.memory_info().rss / MB]
        generating = _generate(server.port, capacity_per_s * TIMES, seconds, bodies)
        while generating.poll() is None:
            time.sleep(1)
            rss_mb.append(process.memory_info().rss / MB)
        over = _seconds(generating)
        calm = _seconds(_generate(server.port, capacity_per_s * CALM_SHARE, CALM_S, bodies))
    return {
        "capacity_per_s": round(capacity_per_s, 1),
        "times": TIMES,
        "overload": over,
        "after": calm,
        "rss_mb": [round(one, 1) for one in rss_mb],
    }


def figures(told: dict[str, Any]) -> list[Result]:
    over, capacity_per_s = told["overload"], told["capacity_per_s"]
    steady = over[FIRST_S:] or over
    totals = {
        name: sum(second.get(name, 0) for second in over)
        for name in ("sent", "answered", "refused", "without_retry_after", "other", "broken")
    }
    goodput_per_s = p50([second.get("answered", 0) for second in steady])
    rss_mb = told["rss_mb"]
    settled_mb = rss_mb[min(len(rss_mb) - 1, FIRST_S)]
    # The generator begins the calm seconds within one of the overload's last.
    calm_after = [
        number
        for number, second in enumerate(told["after"])
        if second.get("answered", 0) < second.get("sent", 0)
    ]
    recovery_s = calm_after[-1] + 1 if calm_after else 0
    return [
        Result("capacity, closed loop", capacity_per_s, unit="requests/s"),
        Result("sent", totals["sent"] / len(over), unit="requests/s"),
        Result("answered", goodput_per_s, unit="requests/s"),
        at_least("answered, of the capacity", goodput_per_s / capacity_per_s, GOODPUT_MIN, "×"),
        Result("refused", totals["refused"] / len(over), unit="requests/s"),
        at_most("refusals without Retry-After", totals["without_retry_after"], 0, ""),
        at_most("broken, or with another status", totals["other"] + totals["broken"], 0, ""),
        Result("p50 of answers", p50([one.get("p50_ms", 0) for one in steady]), unit="ms"),
        Result("p99 of answers", p50([one.get("p99_ms", 0) for one in steady]), unit="ms"),
        at_most(
            "memory gained after the first seconds", max(rss_mb) - settled_mb, GROWTH_MB_MAX, "MB"
        ),
        at_most("until nothing is refused any more", recovery_s, RECOVERY_S_MAX, "s"),
    ]


def soak(minutes: float) -> None:
    """Prints the server's memory under a full load, every half minute."""
    with ExitStack() as stack:
        server = stack.enter_context(farthing())
        bodies = stack.enter_context(bodies_file()).name
        process = psutil.Process(server.pid)
        until_s = time.monotonic() + minutes * 60
        while time.monotonic() < until_s:
            load = wrk(server, bodies, connections=CONNECTIONS, seconds=SOAK_EVERY_S)
            left_min = max(0.0, until_s - time.monotonic()) / 60
            console.print(
                f"{process.memory_info().rss / MB:8.1f} MB  {load.per_s:7.1f} requests/s  "
                f"p99 {load.p99_ms:.1f} ms  {left_min:.1f} min left"
            )


def plot(told: dict[str, Any], file: Path) -> None:
    """A picture of what came of each second's calls, and of the server's memory."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    over = told["overload"]
    every = [*over, *told["after"]]
    figure, (rates, times) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    for name in ("sent", "refused", "answered"):
        rates.plot([second.get(name, 0) for second in every], label=name)
    rates.axhline(told["capacity_per_s"], color="grey", linestyle="--", label="capacity")
    rates.axvline(len(over), color="grey", linestyle=":")
    rates.set_ylabel("calls a second")
    rates.legend(loc="upper right")
    times.plot([second.get("p50_ms", 0) for second in every], label="answers' p50")
    times.plot([second.get("p99_ms", 0) for second in every], label="answers' p99")
    times.axvline(len(over), color="grey", linestyle=":")
    times.set_ylabel("ms")
    times.set_xlabel("second of sending")
    memory = times.twinx()
    memory.plot(told["rss_mb"], color="green", linestyle=":", label="memory")
    memory.set_ylim(0)
    memory.set_ylabel("MB")
    times.legend(loc="upper left")
    memory.legend(loc="upper right")
    rates.set_title(f"{told['times']} times the capacity, then half of it")
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _generate(port: int, rate: float, seconds: int, bodies: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(PYTHON, "-m", "tests.bench.generator", "--port", str(port)),
            *("--rate", f"{rate:.1f}", "--seconds", str(seconds), "--bodies", bodies),
        ],
        cwd=ROOT,
        env=environment(LOCAL),
        stdout=subprocess.PIPE,
    )


def _seconds(generating: subprocess.Popen[bytes]) -> Sequence[dict[str, Any]]:
    lines, _ = generating.communicate()
    if generating.returncode:
        raise RuntimeError("The generator of requests failed.")
    return [json.loads(line) for line in lines.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--minutes", type=float, help="instead, hold a full load for so long")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.minutes:
        return soak(arguments.minutes)
    told = measure(arguments.seconds)
    for result in figures(told):
        met = {None: "", True: "yes", False: "NO"}[result.met]
        console.print(f"{result.name:42}{result.ours:10.1f} {result.unit} {result.target} {met}")
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(told, arguments.plot)
    return None


if __name__ == "__main__":
    main()
