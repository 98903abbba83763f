"""What keeping the ledger takes: entries in groups and alone, a lease, and a store to open."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.billing.stores import open_store
from farthing.billing.tenants import Budget, Tenant
from tests.bench.results import Result, at_least, compared, p50
from tests.bench.surroundings import PYTHON, skip
from tests.ledger import postgresql
from tests.ledger.facts import NOON_MS, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farthing.billing.ledger import Entry, Store

GROUP = 500
GROUPS_PER_ROUND = 10
ONES_PER_ROUND = 100
ENTRIES_PER_S_MIN = 2_000
NS_PER_MS = 1_000_000
SURVIVES = {
    "SQLite NORMAL": "survives kill -9; power cut takes the last",
    "SQLite FULL": "survives kill -9 and a power cut",
    "PostgreSQL": "survives kill -9 and a power cut",
}
OPEN_OURS = (
    "from farthing.billing.stores import open_store\n"
    "open_store('dynamodb://t?region=us-east-1')\nimport http.client, ssl"
)
OPEN_BOTO3 = "import boto3\nboto3.client('dynamodb', region_name='us-east-1')"


def run(rounds: int) -> list[Result]:
    """Medians over rounds. What moto's stand-in for DynamoDB takes says nothing of DynamoDB."""
    results = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, url in _stores(folder, stack):
            store = stack.enter_context(closing(open_store(url)))
            numbers = itertools.count(1)
            results += _appending(name, store, numbers, rounds)
            results.append(_leasing(name, store, rounds))
        results.append(_bare(folder, rounds))
    results.append(_opening(rounds))
    return results


def _stores(folder: Path, stack: ExitStack) -> Iterator[tuple[str, str]]:
    yield "SQLite NORMAL", f"sqlite:///{folder}/normal.db"
    yield "SQLite FULL", f"sqlite:///{folder}/full.db?synchronous=FULL"
    binaries = postgresql.binaries()
    if binaries is None:
        skip("ledger in PostgreSQL", "no PostgreSQL is installed")
    else:
        yield "PostgreSQL", stack.enter_context(postgresql.running(binaries))


def _appending(name: str, store: Store, numbers: Iterator[int], rounds: int) -> list[Result]:
    per_s, one_ms = [], []
    for _ in range(rounds):
        groups = [_group(numbers) for _ in range(GROUPS_PER_ROUND)]
        started_ns = time.perf_counter_ns()
        for group in groups:
            store.append(group)
        taken_ns = time.perf_counter_ns() - started_ns
        per_s.append(GROUP * GROUPS_PER_ROUND / taken_ns * 1e9)
        for _ in range(ONES_PER_ROUND):
            single = entry(next(numbers))
            one_ms.append(_ms(lambda single=single: store.append([single])))
    return [
        at_least(f"{name}: {GROUP} at once", p50(per_s), ENTRIES_PER_S_MIN, "entries/s"),
        Result(f"{name}: one entry", p50(one_ms), unit="ms", target=SURVIVES[name]),
    ]


def _leasing(name: str, store: Store, rounds: int) -> Result:
    budgets = Budget("day", 10**15), Budget("month", 10**16)
    store.put_tenant(Tenant(name="bench", budgets=budgets))
    taken_ms = [
        _ms(
            lambda number=number: store.lease(
                "bench",
                lease_id=f"lease-{number}",
                want_pico=1_000,
                least_pico=1,
                now_ms=NOON_MS,
                ttl_ms=60_000,
            )
        )
        for number in range(rounds * ONES_PER_ROUND)
    ]
    return Result(f"{name}: a lease", p50(taken_ms), unit="ms")


def _bare(folder: Path, rounds: int) -> Result:
    """The same groups by `sqlite3` alone, already encoded: what SQLAlchemy and msgspec add."""
    numbers, per_s = itertools.count(1), []
    with closing(sqlite3.connect(folder / "bare.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE entries "
            "(writer, number, at_ms, tenant, body, PRIMARY KEY (writer, number))"
        )
        connection.execute("CREATE INDEX a ON entries (at_ms, writer, number)")
        connection.execute("CREATE INDEX b ON entries (tenant, at_ms, writer, number)")
        for _ in range(rounds * GROUPS_PER_ROUND):
            rows = [
                (one.writer, one.number, one.at_ms, one.tenant, msgspec.json.encode(one).decode())
                for one in _group(numbers)
            ]
            started_ns = time.perf_counter_ns()
            with connection:
                connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            per_s.append(GROUP / (time.perf_counter_ns() - started_ns) * 1e9)
    return Result(f"sqlite3 alone: {GROUP} at once", p50(per_s), unit="entries/s")


def _opening(rounds: int) -> Result:
    """A fresh interpreter that opens the table and is ready to ask, less one that does nothing."""
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}

    def start(code: str) -> None:
        subprocess.run([PYTHON, "-c", code], env=environ, check=True)

    ours, boto3, nothing = [], [], []
    for _ in range(rounds):
        nothing.append(_ms(lambda: start("import msgspec")))
        ours.append(_ms(lambda: start(OPEN_OURS)))
        boto3.append(_ms(lambda: start(OPEN_BOTO3)))
    idle_ms = p50(nothing)
    name = "DynamoDB: opened; peer boto3"
    return compared(name, p50(ours) - idle_ms, p50(boto3) - idle_ms, "ms")


def _group(numbers: Iterator[int]) -> list[Entry]:
    return [entry(next(numbers)) for _ in range(GROUP)]


def _ms(once: Callable[[], object]) -> float:
    started_ns = time.perf_counter_ns()
    once()
    return (time.perf_counter_ns() - started_ns) / NS_PER_MS
