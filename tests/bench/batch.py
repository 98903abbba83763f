"""What a worker adds to its bundle: rows a second beside bare loops, and what a row costs.

The loops have the same loaded bundle and the texts in memory; a worker reads a file, and writes
rows and checkpoints. All take turns.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.batch.engines import Finished, get_engine
from farthing.batch.interruption import Stop
from farthing.billing.meter import meter_of
from farthing.billing.prices import read_price_book
from farthing.inference.heads import mean_pool, softmax, unit_length
from farthing.settings import LAMBDA_MB_PER_VCPU
from farthing.usage import Usage
from tests.bench.batch_jobs import (
    NS_PER_S,
    OneWorker,
    local_settings,
    open_fresh,
    titles,
    write_table,
)
from tests.bench.results import Result, at_least, compared, p50
from tests.bench.surroundings import bundles, skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.inference.tasks import TextModel

ROWS = {"classify": 20_000, "embed": 4_000}
# A second run for every how many of the first, so that a worker's start is little of it.
WORKERS_ROWS = {"classify": 200_000, "embed": 16_000}
BATCH_TEXTS = 32
REQUEST_ROWS = 1_000
BARE_MIN, NAIVE_MIN, WORKERS_MIN = 0.92, 1.25, 1.85
COMPUTE_LESS_MIN, REQUEST_LESS_MIN = 0.25, 0.78


def run(rounds: int) -> list[Result]:
    """Medians over the rounds, for each task that there is a bundle for."""
    results = []
    for task, rows in ROWS.items():
        texts = titles(rows, f"batch {task}")
        if not bundles(task):
            skip(f"batch {task}", "there is no bundle for it")
        elif texts:
            with tempfile.TemporaryDirectory(prefix="farthing-bench-") as scratch:
                results += _worker(task, texts, Path(scratch), rounds)
                results += _workers(task, Path(scratch), rounds)
    return results


def _worker(task: str, texts: list[str], folder: Path, rounds: int) -> list[Result]:
    source, out = write_table(folder / "titles.csv", texts), folder / "out"
    worker = OneWorker(open_fresh(source, out, task, len(texts)))
    model = worker.scorer._model

    def job_s() -> float:
        return worker.run_s(open_fresh(source, out, task, len(texts)))

    def planned_s() -> float:
        started_ns = time.perf_counter_ns()
        open_fresh(source, out, task, len(texts))
        return (time.perf_counter_ns() - started_ns) / NS_PER_S

    bare = [_bare(model, batch) for batch in (BATCH_TEXTS, 1)]
    contestants = {
        "worker": job_s,
        "planning": planned_s,
        "sorted": lambda: _taken_s(lambda: bare[0](texts)),
        "naive": lambda: _taken_s(lambda: [bare[1]([text]) for text in texts]),
    }
    taken = _in_turns(contestants, rounds)
    rates = {name: len(texts) / p50(samples) for name, samples in taken.items()}
    ours, name = rates["worker"], model.manifest.name
    return [
        _faster(f"{task} ({name}): a worker, against a bare loop by length, batches of 32",
                ours, rates["sorted"], BARE_MIN),
        _faster(f"{task}: a worker, against a loop of single texts",
                ours, rates["naive"], NAIVE_MIN),
        Result(f"{task}: planning", rates["planning"], unit="rows/s"),
        *_costs(task, model, texts, rounds),
    ]  # fmt: skip


def _faster(name: str, ours: float, peer: float, least: float) -> Result:
    return compared(name, ours, peer, "rows/s", f"≥ {least} ×", ours >= least * peer)


def _bare(model: TextModel, batch_texts: int) -> Callable[[Sequence[str]], Any]:
    """The least that computes the same: no counting, no checks, all texts sorted at once."""
    encode, inputs, compute = model._encoder.encode, model._encoder.inputs, model._session.run

    def go(texts: Sequence[str]) -> Any:
        rows = sorted(encode(texts), key=lambda row: len(row.ids))
        found = []
        for start in range(0, len(rows), batch_texts):
            given = inputs(rows[start : start + batch_texts])
            output = compute(given)
            if model.task == "classify":
                found.append(softmax(output))
            else:
                found.append(unit_length(mean_pool(output, given["attention_mask"])))
        return found

    return go


def _taken_s(call: Callable[[], Any]) -> float:
    started_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started_ns) / NS_PER_S


def _in_turns(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; who comes first changes. The first round is for warming up."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        names = list(contestants)
        for name in names if turn % 2 else reversed(names):
            taken[name].append(contestants[name]())
    return {name: samples[1:] for name, samples in taken.items()}


def _workers(task: str, folder: Path, rounds: int) -> list[Result]:
    """Two processes against one, each with its start."""
    texts = titles(WORKERS_ROWS[task], f"batch {task}")
    texts *= max(1, WORKERS_ROWS[task] // len(texts))
    source = write_table(folder / "many.csv", texts)

    def engine_s(workers: int) -> Callable[[], float]:
        engine = get_engine("local", local_settings(), workers=workers)

        def go() -> float:
            opened = open_fresh(source, folder / "out", task, len(texts) // 16)
            done = []
            started_ns = time.perf_counter_ns()
            engine.run(opened, opened.plan.shards, done.append, Stop())
            taken_ns = time.perf_counter_ns() - started_ns
            if sum(isinstance(event, Finished) for event in done) != len(opened.plan.shards):
                raise RuntimeError(f"not every shard was done: {done[-1]}")
            return taken_ns / NS_PER_S

        return go

    taken = _in_turns({"one": engine_s(1), "two": engine_s(2)}, max(1, rounds // 3))
    one, two = (len(texts) / p50(taken[name]) for name in ("one", "two"))
    return [_faster(f"{task}: two workers, against one", two, one, WORKERS_MIN)]


def _costs(task: str, model: TextModel, texts: list[str], rounds: int) -> list[Result]:
    """What a row costs on Lambda with one vCPU, from times measured on one core here."""
    sample = texts[:: len(texts) // REQUEST_ROWS][:REQUEST_ROWS]

    def single_s() -> float:
        return _taken_s(lambda: [model.compute(model.prepare([text])) for text in sample])

    def together_s() -> float:
        return _taken_s(lambda: model.compute(model.prepare(sample)))

    taken = _in_turns({"single": single_s, "together": together_s}, rounds)
    single_ns, together_ns = (
        p50(taken[name]) * NS_PER_S / len(sample) for name in ("single", "together")
    )
    each = _lambda_usd(single_ns)
    thousand = _lambda_usd(together_ns * REQUEST_ROWS) / REQUEST_ROWS
    return [
        at_least(f"{task}: compute of a row in batches of up to 32, less than alone by",
                 1 - together_ns / single_ns, COMPUTE_LESS_MIN, "of 1"),
        at_least(f"{task}: cost a row in invocations of 1,000, less than of 1 by",
                 1 - thousand / each, REQUEST_LESS_MIN, "of 1"),
        Result(f"{task}: cost of a million rows, 1 and 1,000 an invocation",
               thousand * 1e6, each * 1e6, thousand / each, "USD"),
    ]  # fmt: skip


def _lambda_usd(busy_ns: float) -> float:
    """What our meter says of one warm invocation that is busy for so long."""
    settings = msgspec.structs.replace(local_settings(), memory_mb=LAMBDA_MB_PER_VCPU)
    usage = Usage(
        prompt_tokens=1,
        truncated=0,
        busy_ns=round(busy_ns),
        init_ns=0,
        memory_mb=settings.memory_mb,
        vcpu_milli=1000,
        disk_mb=settings.disk_mb,
        cold=False,
    )
    return float(meter_of(read_price_book(), settings).cost(usage).total)
