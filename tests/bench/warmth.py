"""Warmth: how much longer a first call takes than the second, and what pings and hooks take."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.bench.results import Result, at_most, compared, p50
from tests.bench.surroundings import LAMBDA, PYTHON, ROOT, bundles, environment, skip

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLE = "bosch series 4 free-standing fridge freezer 186cm stainless steel"
FIELDS = {"classify": "inputs", "embed": "input"}
LENGTHS = {"a title": TITLE, "a page": f"{TITLE} frost free. " * 20}
# What is left is the interpreter's own warming, which more inferences did not shorten.
FIRST_TIMES_MAX, FIRST_MORE_MS_MAX = 2, 0.5
PING_MS_MAX = 0.2
# A restore may take ten seconds with all that the runtime does itself.
HOOK_MS_MAX = 100


def run(rounds: int) -> list[Result]:
    """Medians over fresh processes."""
    results = []
    for function in FIELDS:
        if not bundles(function):
            skip("warmth", f"there is no bundle for {function}")
            continue
        for length, text in LENGTHS.items():
            warmed = _starts(rounds, function, text)
            unwarmed = _starts(rounds, function, text, "unwarmed")
            results.append(_against_second(f"{function}, {length}: first call", warmed, bound=True))
            name = f"{function}, {length}: first call without an inference at the start"
            results.append(_against_second(name, unwarmed))
        pings = [ping for start in warmed for ping in start["pings"]]
        results.append(at_most(f"{function}: a ping", p50(pings), PING_MS_MAX, "ms"))
        for hook in ("before", "after"):
            hook_ms = p50([start[hook] for start in warmed])
            results.append(at_most(f"{function}: hooks {hook} it", hook_ms, HOOK_MS_MAX, "ms"))
    return results


def _against_second(name: str, starts: Sequence[Any], *, bound: bool = False) -> Result:
    first, second = (p50([start["calls"][call] for start in starts]) for call in (0, 1))
    if not bound:
        return compared(name, first, second, "ms")
    met = first <= max(FIRST_TIMES_MAX * second, second + FIRST_MORE_MS_MAX)
    target = f"≤ {FIRST_TIMES_MAX} × second, or + {FIRST_MORE_MS_MAX} ms"
    return compared(name, first, second, "ms", target, met)


def _starts(rounds: int, function: str, text: str, *options: str) -> list[Any]:
    event = json.dumps({FIELDS[function]: text})
    command = [PYTHON, "-m", "tests.bench.warmth_process", function, event, *options]
    environ = environment(LAMBDA | {"FARTHING_CACHE": "off", "FARTHING_RECORDER": "none"})
    return [
        json.loads(
            subprocess.run(
                command, cwd=ROOT, env=environ, capture_output=True, check=True, text=True
            ).stdout
        )
        for _ in range(rounds)
    ]
