"""Lambda's snapshots: what an environment does before one is taken and after it is restored.

SnapStart takes one when a version is published, and starts environments as copies of it: with the
memory of that moment, at any later time and several at once. The runtime calls what is registered
with `snapshot_restore_py`, which comes with it, and allows ten seconds after a restore.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html (2026-11)
"""

from __future__ import annotations

import gc
import os
import random
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from farthing.billing.copies import begin_copy
from farthing.billing.meter import HOUSE
from farthing.errors import StoreUnavailable

if TYPE_CHECKING:
    from farthing.serving.service import Service

ENTROPY_BYTES = 64


def register_hooks(service: Service) -> None:
    """Has the runtime call what follows, for this service."""
    # The runtime's own package: there is none where no runtime is.
    hooks = import_module("snapshot_restore_py")
    hooks.register_before_snapshot(prepare, service)
    hooks.register_after_restore(resume, service)


def prepare(service: Service) -> None:
    """Leaves nothing behind that a copy could not use: no lease, no connection, no garbage.

    But all that a first call would load: models have answered once by now, and the ledger's store
    is asked once. Raises `SettingsError` where the address of that is none.
    """
    store = service.accounts.store
    if store is not None:
        with suppress(StoreUnavailable):
            store.tenant(HOUSE)
    service.accounts.close()
    if service.pipeline.cache is not None:
        service.pipeline.cache.close()
    gc.collect()
    # What is there will stay; collecting it again would write to pages that copies share.
    gc.freeze()


def resume(service: Service) -> None:
    """Makes this environment another than its siblings: in what it writes, leases, and draws.

    Its first invocation carries its restore, a ping or not. Time that passed in the snapshot is
    nobody's: no call was present, so none is told of it.
    """
    begin_copy()
    service.pipeline.instance.snapshot()
    random.seed()
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        # OpenSSL's generator was copied too; connections would draw the same keys.
        ssl.RAND_add(os.urandom(ENTROPY_BYTES), ENTROPY_BYTES)
