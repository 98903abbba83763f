"""Starts one function and calls it over and over, in a process of its own.

Run as a file, or handed to an image's Python as text, so it imports the standard library and the
function alone. Its argument is a JSON object; its last line of output is another:

    {"function": "classify", "event": {...}, "calls": 200, "rest_s": 0.02, "spawned_ns": 0}
    {"init_ms": 180.1, "first_ms": 1.9, "warm_ms": [...], "peak_mb": 61, "answer": "..."}

With "serve" it is an HTTP server on that inherited socket instead. `init_ms` counts from
`spawned_ns` on the monotonic clock, or from the process's own start where that is 0.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

NS_PER_MS = 1_000_000
KB_PER_MB = 1024


class Context:
    """What Lambda's runtime hands to a handler."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    function_name = "farthing"
    function_version = "1"
    memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:farthing"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def main() -> None:
    plan = json.loads(sys.argv[1])
    entry = load(plan["function"])
    if "serve" in plan:
        serve(entry, plan["serve"])
        return
    init_ms = age_ns(plan["spawned_ns"]) / NS_PER_MS
    event, context = json.dumps(plan["event"]), Context()
    # As from a gateway: each call gets an event of its own.
    first_ms, answer = timed(entry, json.loads(event), context)
    warm_ms = []
    for _ in range(plan["calls"]):
        time.sleep(plan["rest_s"])
        warm_ms.append(timed(entry, json.loads(event), context)[0])
    found = {
        "init_ms": init_ms,
        "first_ms": first_ms,
        "warm_ms": warm_ms,
        "peak_mb": peak_mb(),
        "answer": answer if isinstance(answer, str) else json.dumps(answer, default=as_text),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def load(function: str) -> Any:
    """The function's entry as it is deployed, or the same one made here where it is not at hand."""
    try:
        return importlib.import_module(f"functions.{function}.app").app
    except ModuleNotFoundError as error:
        if error.name not in {"functions", f"functions.{function}", f"functions.{function}.app"}:
            raise
        return importlib.import_module("farthing.serving.entry").Entry(function)


def serve(entry: Any, handle: int) -> None:
    import socket

    import uvicorn

    config = uvicorn.Config(entry, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=handle)])


def timed(entry: Any, event: Any, context: Context) -> tuple[float, Any]:
    begun_ns = time.perf_counter_ns()
    answer = entry.handler(event, context)
    return (time.perf_counter_ns() - begun_ns) / NS_PER_MS, answer


def age_ns(spawned_ns: int) -> int:
    if spawned_ns:
        return time.monotonic_ns() - spawned_ns
    with open("/proc/self/stat") as stat:  # noqa: PTH123 - nothing is imported for it
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    started_s = ticks / os.sysconf("SC_CLK_TCK")
    return round((time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1e9)


def peak_mb() -> int:
    """The most memory this process had, in MB, rounded up."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - as above
        peak = next(line for line in status if line.startswith("VmHWM"))
    return -(-int(peak.split()[1]) // KB_PER_MB)


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    main()
