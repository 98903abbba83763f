"""What calls wait for while the cache beside a server is frozen or dead.

One caller asks about texts that mostly nobody asked about before. Good times and faults take turns;
a fault counts from a second after it began, when the circuit is open.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.results import Result, at_most, compared, p50
from tests.bench.surroundings import bundles, skip
from tests.functions.cache_faults import (
    REDIS,
    Load,
    Redis,
    failures,
    keys_of,
    p99_ms,
    server_with,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.cache_faults import Call

TURN_S = 3.0
OPENS_WITHIN_S = 1.0
VARIETY = 1_000_000
ADDED_MS_MAX = 10


def run(rounds: int) -> list[Result]:
    """The p99 that each fault adds, and how many calls failed."""
    if REDIS is None or not bundles("classify"):
        skip("cache_faults", "it needs redis-server and a bundle to classify")
        return []
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis = stack.enter_context(Redis(Path(folder)))
        server = stack.enter_context(server_with(Path(folder, "server"), redis.url))
        server.wait_until_ready()
        with Load(server.url, callers=1, variety=VARIETY) as load:
            results += _fault("frozen", load, redis, redis.freeze, redis.thaw, rounds)
            results += _fault("killed", load, redis, redis.kill, redis.start, rounds)
        failed = len(failures(load))
    return [*results, at_most("calls that failed", failed, 0, "calls")]


def _fault(
    name: str,
    load: Load,
    redis: Redis,
    begin: Callable[[], None],
    end: Callable[[], None],
    rounds: int,
) -> list[Result]:
    well: list[Call] = []
    opening: list[Call] = []
    faulty: list[Call] = []
    for _ in range(rounds):
        # It is asked (again) once more has come to it.
        wait_for(keys_of, redis, keys_of(redis) + 1)
        well += _calls(load, TURN_S)
        begin()
        opening += _calls(load, OPENS_WITHIN_S)
        faulty += _calls(load, TURN_S)
        end()
    usual_ms, open_ms = p99_ms(well), p99_ms(faulty)
    longest_ms = max(call.took_ms for call in opening)
    return [
        compared(f"{name}: p50, against all well", _p50_ms(faulty), _p50_ms(well), "ms"),
        compared(f"{name}: p99, against all well", open_ms, usual_ms, "ms"),
        at_most(
            f"{name}: p99 added, of {len(faulty)} calls", open_ms - usual_ms, ADDED_MS_MAX, "ms"
        ),
        compared(
            f"{name}: longest call of the second before",
            longest_ms,
            max(call.took_ms for call in well),
            "ms",
        ),
    ]


def _calls(load: Load, span_s: float) -> list[Call]:
    """Those that ended within a time from now on."""
    first = len(load.calls)
    time.sleep(span_s)
    return load.calls[first:]


def _p50_ms(calls: list[Call]) -> float:
    return p50([call.took_ms for call in calls])
