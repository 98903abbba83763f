"""Vector stores: where an index's vectors may live instead of in the index itself."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, cast

from farthing.errors import SettingsError
from farthing.search.stores.addresses import FORMS
from farthing.search.stores.contract import (
    ID_BYTES_MAX,
    METADATA_BYTES_MAX,
    NEAREST_MAX,
    Item,
    Label,
    Near,
    VectorStore,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ID_BYTES_MAX",
    "METADATA_BYTES_MAX",
    "NEAREST_MAX",
    "Item",
    "Label",
    "Near",
    "VectorStore",
    "open_store",
]

# The client that each adapter needs, none for our own. Their modules are imported when asked for:
# each has its weight, and one process uses one.
CLIENTS = {"embedded": "", "chroma": "chromadb", "milvus": "pymilvus", "pinecone": "pinecone"}


def open_store(
    url: str, label: Label | None = None, environ: Mapping[str, str] = os.environ
) -> VectorStore:
    """The store at an address of `addresses.FORMS`; keys come from `environ`.

    With a `label` the collection is made where there is none; without one it must be there.
    Raises `SettingsError` for another address or where the store's client is not installed,
    `EmbedderMismatch` where the collection holds another embedder's vectors, `IndexMissing` where
    there is none, `VectorStoreUnavailable` where the store does not answer.
    """
    kind = url.partition(":")[0].partition("+")[0]
    if kind not in CLIENTS:
        raise SettingsError(f"That is no vector store's address. Use {FORMS}.")
    client = CLIENTS[kind]
    if client and importlib.util.find_spec(client) is None:
        raise SettingsError(
            f"A store of the kind {kind} needs {client}, which this environment does not have. "
            f"Install the extra with: pip install 'farthing[{kind}]'"
        )
    module = importlib.import_module(f"farthing.search.stores.{kind}")
    return cast("VectorStore", module.open_store(url, label, environ))
