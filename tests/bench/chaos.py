"""Kills, outages, redelivery and clock jumps at length: `python -m tests.bench.chaos 10000`.

The ledger is a SQLite file that is locked, then a PostgreSQL that is stopped and started.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.billing.stores import open_store
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from tests.bench.surroundings import console
from tests.functions.chaos import Chaos, locked
from tests.ledger import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.ledger.postgresql import Cluster

    Outage = Callable[[], AbstractContextManager[None]]

INVOCATIONS = 10_000


def main() -> int:
    """0 if every answered invocation has exactly one entry; else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chaos", description=__doc__)
    parser.add_argument("invocations", nargs="?", type=int, default=INVOCATIONS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    broken = False
    with ExitStack() as stack:
        for name, ledger, outage in _ledgers(stack):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = open_store(ledger)
            store.put_tenant(Tenant(name="local", budgets=(Budget("month", PICO_PER_USD),)))
            store.close()
            started_s = time.monotonic()
            chaos = Chaos(
                folder, ledger, outage, invocations=arguments.invocations, seed=arguments.seed
            )
            report = chaos.run()
            console.print(
                f"{name}: {report.invocations:,} invocations in "
                f"{time.monotonic() - started_s:.0f} s: {len(report.answered):,} answered, "
                f"{report.refused.total()} refused, {report.cut_off} cut off by {report.kills} "
                f"kill -9; {report.outages} outages of the ledger; {report.redelivered} segments "
                f"delivered twice more; the clock set every 0.4 s.\n"
                f"  {report.entries:,} entries: {len(report.lost)} lost, "
                f"{len(report.doubled)} doubled, {report.gaps} numbers missing."
            )
            broken |= bool(report.lost or report.doubled or report.gaps)
    return 1 if broken else 0


def _ledgers(stack: ExitStack) -> Iterator[tuple[str, str, Outage]]:
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ledger.db"
    yield "SQLite, locked", f"sqlite:///{file}", lambda: locked(file)
    binaries = postgresql.binaries()
    if binaries is None:
        console.print("[bold yellow]SKIPPED[/] no PostgreSQL is installed")
        return
    cluster = stack.enter_context(postgresql.cluster(binaries))
    cluster.start()
    yield "PostgreSQL, stopped", cluster.url, lambda: stopped(cluster)


@contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    """While it lasts, there is no PostgreSQL."""
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


if __name__ == "__main__":
    sys.exit(main())
