"""One process of several that lease from one budget at once; prints what it was given, as JSON.

`python -m tests.ledger.storm URL TENANT THREADS MODE SEED`: in mode `calls` every thread leases
single calls until none is left; in mode `slices` it leases, settles or forgets `SLICES` times at
random, and where nothing is left it waits until the limits have changed.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING

from farthing.billing.stores import open_store
from farthing.billing.tenants import Lease
from tests.ledger.facts import NOON_MS
from tests.ledger.patience import patience

if TYPE_CHECKING:
    from farthing.billing.ledger import Store

CALL_PICO = 233_333
SLICES = 5
SLICE_PICO_MAX = 20 * CALL_PICO
SETTLED_SHARE = 0.7
PAUSE_S = 0.01


class Caller:
    """Leases from one tenant's budget, and counts what it was given and spent."""

    def __init__(self, store: Store, tenant: str) -> None:
        self.store, self.tenant = store, tenant
        self.given: list[int] = []
        self.spent: list[int] = []

    def lease(self, want_pico: int, least_pico: int) -> Lease | None:
        found = self.store.lease(
            self.tenant,
            lease_id=uuid.uuid4().hex,
            want_pico=want_pico,
            least_pico=least_pico,
            now_ms=NOON_MS,
            ttl_ms=60_000,
        )
        if not isinstance(found, Lease):
            return None
        assert least_pico <= found.amount_pico <= want_pico
        self.given.append(found.amount_pico)
        return found

    def take_calls(self) -> None:
        while (held := self.lease(CALL_PICO, CALL_PICO)) is not None:
            if held.id < "8":
                assert self.store.settle_lease(held.id, CALL_PICO)

    def take_slices(self, chance: random.Random) -> None:
        for _ in range(SLICES):
            want_pico = chance.randrange(1, SLICE_PICO_MAX)
            while (held := self.lease(want_pico, 1)) is None:
                time.sleep(PAUSE_S)
            if chance.random() < SETTLED_SHARE:
                part_pico = chance.randrange(held.amount_pico + 1)
                assert self.store.settle_lease(held.id, part_pico)
                assert not self.store.settle_lease(held.id, part_pico)
                self.spent.append(part_pico)


def main() -> None:
    url, tenant, threads, mode, seed = sys.argv[1:]
    store = open_store(url)
    caller, start = Caller(store, tenant), threading.Barrier(int(threads))
    errors: list[str] = []

    def work(number: int) -> None:
        start.wait()
        try:
            if mode == "calls":
                caller.take_calls()
            else:
                caller.take_slices(random.Random(f"{seed}/{number}"))
        except Exception as error:
            errors.append(repr(error))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store.close()
    told = {"given": len(caller.given), "spent": sum(caller.spent), "errors": errors[:3]}
    print(json.dumps(told))


if __name__ == "__main__":
    with patience():
        main()
