"""Open an index to the first answer: a cold search function against a cold classify function."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from tests.bench.cold import MS_PER_S, script
from tests.bench.judged import CATALOGUE, collection, index_of
from tests.bench.results import Result, compared, p50
from tests.bench.samples import TITLES, http_api_event
from tests.bench.surroundings import LAMBDA, PYTHON, ROOT, bundles, environment, skip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ABOVE_CLASSIFY_MS_MAX = 60
BODIES = {
    "classify": ("/v1/classify", {"inputs": TITLES[0]}),
    "embed": ("/v1/embeddings", {"input": TITLES[0]}),
    "search": ("/v1/search", {"query": TITLES[0]}),
}


def run(rounds: int) -> list[Result]:
    """Medians of starts by turns, each in a process of its own."""
    catalogue = collection(CATALOGUE, trained=True)
    if catalogue is None or not bundles("embed") or not bundles("classify"):
        skip("search_cold", f"FARTHING_DATA holds no {CATALOGUE}, or a bundle is missing")
        return []
    folder, _ = index_of(catalogue)
    taken_ms = _interleaved({"FARTHING_INDEX": str(folder.resolve())}, rounds)
    search_ms, classify_ms, embed_ms = (
        p50(taken_ms[name]) for name in ("search", "classify", "embed")
    )
    above_ms = search_ms - classify_ms
    return [
        compared("start to first answer, search against classify", search_ms, classify_ms, "ms"),
        compared("start to first answer, search against embed", search_ms, embed_ms, "ms"),
        Result(
            "what search adds to classify's start",
            above_ms,
            unit="ms",
            target=f"≤ {ABOVE_CLASSIFY_MS_MAX} ms",
            met=above_ms <= ABOVE_CLASSIFY_MS_MAX,
        ),
    ]


def _interleaved(index: Mapping[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each function's starts; a first start of each compiles bytecode."""
    commands: dict[str, Sequence[str]] = {}
    for name, (path, body) in BODIES.items():
        event = msgspec.json.encode(http_api_event(path, msgspec.json.encode(body)))
        commands[name] = script(PYTHON, "cold_function", name, event.decode())
    taken_ms: dict[str, list[float]] = {name: [] for name in commands}
    for start in range(rounds + 1):
        for name, command in commands.items():
            began_s = time.clock_gettime(time.CLOCK_MONOTONIC)
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment(LAMBDA, **index),
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"cold {name} failed: {done.stderr[-2000:].decode()}")
            if start:
                answered_s = float(done.stdout.splitlines()[-1])
                taken_ms[name].append((answered_s - began_s) * MS_PER_S)
    return taken_ms
