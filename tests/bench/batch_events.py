"""Events redelivered, in any order, to functions that die: `python -m tests.bench.batch_events`.

Small files in an S3 stand-in, and events of each delivered three times, shuffled, ten at a time,
to several processes that call the function's handler as Lambda would. Some are killed with SIGKILL
over a batch, which is then delivered again. Rows and the ledger's entries are counted at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tests.batch.cloud import Context, cloud_running, csv_of, entries_of, sqs_event
from tests.batch.functions import function_of, manifests_in, rows_in
from tests.bench.surroundings import bundles, console

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

EVENTS = 1_000
DELIVERIES = 3
KILLS = 10
PROCESSES = 3
BATCH = 10
ROWS_MAX = 5
SHARD_ROWS = 2


class Instance:
    """A function's process, whose log goes into a file; a new one when it dies."""

    def __init__(self, models: Path, out: Path, log: Path) -> None:
        self._arguments = (models, out, log)
        self._start()

    def answer(self, batch: list[Any], *, kill_after_s: float | None) -> list[str] | None:
        """The messages that are to come again; None from one that was killed over them."""
        self._pipe.send(batch)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            self._process.kill()
            self._process.join()
            self._start()
            return None
        found: list[str] = self._pipe.recv()
        return found

    def close(self) -> None:
        self._pipe.close()
        self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()


def serve(pipe: Connection, models: Path, out: Path, log: Path) -> None:
    """Answers batches until nobody sends any."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - as long as the process
    function = function_of(models, str(out), batch_shard_rows=str(SHARD_ROWS))
    while True:
        try:
            batch = pipe.recv()
        except EOFError:
            return
        answer = function.handler(sqs_event(*batch), Context())
        pipe.send([one["itemIdentifier"] for one in answer["batchItemFailures"]])


def main() -> int:
    """0 if no row and no entry is lost or there twice; else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batch_events", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=EVENTS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    models = bundles("classify")[0][0].parent
    rows = [1 + number % ROWS_MAX for number in range(asked.events)]
    with cloud_running() as cloud, tempfile.TemporaryDirectory() as name:
        folder, bucket = Path(name), cloud.bucket()
        out = folder / "out"
        events = [
            {"Records": [cloud.put(bucket, f"in/{n:05}.csv", csv_of(count, n * ROWS_MAX))]}
            for n, count in enumerate(rows)
        ]
        started_s = time.monotonic()
        killed = deliver(events, asked, models, folder, out)
        took_s = time.monotonic() - started_s
        logs = "\n".join(log.read_text() for log in folder.glob("*.log"))
        entries = [entry for entry in entries_of(logs) if entry["kind"] == "answer"]
        names = [(entry["writer"], entry["number"]) for entry in entries]
        said = {json.dumps(entry, sort_keys=True) for entry in entries}
        ids = [row["id"] for row in rows_in(out)]
        figures = {
            "files that ended": (len(manifests_in(out)), len(rows)),
            "rows": (len(ids), sum(rows)),
            "different rows": (len(set(ids)), sum(rows)),
            "shards billed": (len(set(names)), sum(-(-count // SHARD_ROWS) for count in rows)),
            "different bills of shards": (len(said), len(set(names))),
        }
    title = (
        f"batch_events: {asked.events} events, each {DELIVERIES} times in any order, "
        f"{killed} functions killed over a batch, {took_s:.0f} s"
    )
    table = Table("", "counted", "expected", title=title, title_justify="left")
    for figure, (counted, expected) in figures.items():
        table.add_row(figure, f"{counted:,}", f"{expected:,}")
    console.print(table)
    return 0 if all(counted == expected for counted, expected in figures.values()) else 1


def deliver(
    events: list[Any], asked: argparse.Namespace, models: Path, folder: Path, out: Path
) -> int:
    """Has every event answered three times; how many processes were killed on the way."""
    chance = random.Random(asked.seed)
    deliveries = events * DELIVERIES
    chance.shuffle(deliveries)
    batches = [deliveries[start : start + BATCH] for start in range(0, len(deliveries), BATCH)]
    doomed = set(chance.sample(range(len(batches)), min(asked.kills, len(batches))))
    waiting = list(enumerate(batches))
    lock, killed = threading.Lock(), 0

    def work(number: int) -> None:
        nonlocal killed
        instance = Instance(models, out, folder / f"{number}.log")
        while True:
            with lock:
                if not waiting:
                    break
                place, batch = waiting.pop()
                kill_after_s = chance.uniform(0.05, 1.5) if place in doomed else None
                doomed.discard(place)
            failed = instance.answer(batch, kill_after_s=kill_after_s)
            with lock:
                killed += failed is None
                if failed is None:
                    waiting.insert(chance.randrange(len(waiting) + 1), (place, batch))
                elif failed:
                    again = [batch[int(message.removeprefix("m"))] for message in failed]
                    waiting.insert(0, (place, again))
        instance.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return killed


if __name__ == "__main__":
    sys.exit(main())
