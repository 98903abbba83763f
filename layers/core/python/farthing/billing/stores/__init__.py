"""What a ledger's address opens."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from farthing.billing.copies import call_in_copies
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


class LazyStore:
    """A store that is opened when it is first asked, by whichever thread asks: opening may import
    for a quarter of a second, and a process that serves has better to do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._original: Store | None = None
        self._store: Store | None = None
        self._lock = threading.Lock()
        call_in_copies(self._begin)

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._store is None:
                self._store = open_store(self._url)
        return getattr(self._store, name)

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()

    def _begin(self) -> None:
        """Connections are the original's: a copy opens its own, and keeps those from being closed
        by whoever collects what nobody needs."""
        self._original, self._store = self._store or self._original, None
        self._lock = threading.Lock()
