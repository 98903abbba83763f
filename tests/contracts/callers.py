"""One process of several whose threads call on one budget; prints how they fared, as JSON.

`python -m tests.contracts.callers URL TENANT THREADS MODE`: in mode `calls` every thread calls
until it is refused. In mode `crash` each thread makes some calls, leaves one unsettled, and the
process prints what its entries would say and is killed with leases in hand. It is always noon, so
that no month ends meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from decimal import Decimal

from farthing.billing.leases import Leases
from farthing.billing.stores import open_store
from farthing.errors import BudgetSpent, BudgetUnknown
from tests.ledger.facts import NOON_MS
from tests.ledger.patience import patience

CALL = Decimal("0.000000234")
CALL_PICO = 234_000
WORK_S = 0.002
CALLS_BEFORE_CRASH = 12
UNKNOWN_PAUSE_S = 0.1


class Caller:
    """Calls in many threads, and remembers what came of it."""

    def __init__(self, leases: Leases, tenant: str, calls_max: float) -> None:
        self.leases, self.tenant, self.calls_max = leases, tenant, calls_max
        self.told: dict[str, list[str]] = {
            "admitted": [], "refused": [], "unknown": [], "errors": []
        }  # fmt: skip

    def call_until_refused(self) -> None:
        while len(self.told["admitted"]) < self.calls_max:
            try:
                self.call()
            except BudgetSpent as refusal:
                self.told["refused"].append(refusal.headers["x-farthing-budget-left-usd"])
                return
            except BudgetUnknown:
                self.told["unknown"].append("")
                time.sleep(UNKNOWN_PAUSE_S)
            except Exception as error:
                self.told["errors"].append(repr(error))
                return
        self.leases.admit(self.tenant, CALL)

    def call(self) -> None:
        hold = self.leases.admit(self.tenant, CALL)
        time.sleep(WORK_S)
        if hold.settle(CALL) is not None:
            self.told["errors"].append("capped")
        self.told["admitted"].append(hold.lease_id)


def main() -> None:
    url, tenant, threads, mode = sys.argv[1:]
    crashes = mode == "crash"
    leases = Leases(open_store(url), clock_ms=lambda: NOON_MS)
    caller = Caller(leases, tenant, CALLS_BEFORE_CRASH if crashes else float("inf"))
    start = threading.Barrier(int(threads))

    def work() -> None:
        start.wait()
        caller.call_until_refused()

    workers = [threading.Thread(target=work) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if not crashes:
        caller.leases.close()
    print(json.dumps(caller.told), flush=True)
    if crashes:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with patience():
        main()
