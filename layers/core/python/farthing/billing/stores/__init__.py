"""What a ledger's address opens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from farthing.errors import SettingsError

if TYPE_CHECKING:
    from farthing.billing.ledger import Store

# Named, not imported: each adapter has its weight, and one process uses one.
ADAPTERS = {
    "memory": "farthing.billing.stores.memory",
    "dynamodb": "farthing.billing.stores.dynamodb",
    "sqlite": "farthing.ledger.sql",
    "postgresql": "farthing.ledger.sql",
}


def open_store(url: str) -> Store:
    """The store at `memory:`, `sqlite:///FILE`, `postgresql://…` or `dynamodb://TABLE`.

    Raises `SettingsError` for another address, `StoreUnavailable` where it does not answer. The
    address is not repeated: it may hold a password.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in ADAPTERS:
        raise SettingsError(
            "FARTHING_LEDGER is no ledger's address. Use sqlite:///FILE, postgresql://…, "
            "dynamodb://TABLE or memory:."
        )
    return cast("Store", import_module(ADAPTERS[scheme]).open_store(url))
