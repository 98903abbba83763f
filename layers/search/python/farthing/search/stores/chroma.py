"""Chroma: a folder of this machine's, or a server.

    chroma:DIR[?collection=NAME]
    chroma+https://HOST[:PORT]/COLLECTION[?tenant=NAME&database=NAME]    key: CHROMA_API_KEY

The label is in the collection's metadata. A record's metadata has the filters under their own
names, and the whole of an item's as JSON; Chroma keeps neither nulls nor objects.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import chromadb
import httpx
import msgspec
from chromadb.auth.token_authn import TokenTransportHeader
from chromadb.errors import ChromaError, NotFoundError

from farthing.search.stores.addresses import read_address
from farthing.search.stores.conditions import mongo_filter
from farthing.search.stores.contract import Near
from farthing.search.stores.items import (
    batches,
    checked_limit,
    in_groups,
    unit_rows,
    unit_vector,
)
from farthing.search.stores.labels import (
    agreed,
    encode_label,
    no_collection,
    read_label,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from chromadb.api import ClientAPI

    from farthing.search.stores.addresses import Address
    from farthing.search.stores.contract import Floats, Item, Label

LABEL = "farthing_label"
DOCUMENT = "farthing_document"
# A server takes bodies of 40 MB; SQLite binds so many values.
BATCH_ITEMS, BATCH_BYTES = 1_000, 20_000_000
# Of 10,000 vectors of 384 dims, 98 of the nearest 100 are found so; by Chroma's defaults, 81.
GRAPH = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}
TIMEOUT_S = 30.0
# From Chroma's distance to a cosine, for vectors of length 1.
COSINES = {"cosine": (1.0, -1.0), "l2": (1.0, -0.5), "ip": (1.0, -1.0)}
# What the client raises: its own, its connection's, and ValueError for a server that is not there.
FAILURES = (ChromaError, httpx.HTTPError, ValueError, RuntimeError)


def open_store(
    url: str, label: Label | None = None, environ: Mapping[str, str] = os.environ
) -> ChromaStore:
    """The store at the address; see `farthing.search.stores.open_store`."""
    address = read_address(url, frozenset({"tenant", "database"}))
    with _asking(address):
        client = _connect(address, environ)
    try:
        return ChromaStore(address, client, label)
    except BaseException:
        _close(client)
        raise


class ChromaStore:
    """A collection of Chroma's, searched by an HNSW graph."""

    def __init__(self, address: Address, client: ClientAPI, label: Label | None) -> None:
        self.url = address.url
        self._address = address
        self._client = client
        self._collection, self._label = self._open(label)
        space = (self._collection.configuration.get("hnsw") or {}).get("space") or "l2"
        self._offset, self._slope = COSINES[space]

    def describe(self) -> Label:
        return self._label

    def upsert(self, items: Iterable[Item]) -> int:
        count = 0
        groups = batches(items, self._label, items_max=BATCH_ITEMS, bytes_max=BATCH_BYTES)
        for group in groups:
            with _asking(self._address):
                # An upsert merges metadata; as the keys are always the same, it replaces it, too.
                self._collection.upsert(
                    ids=[item.id for item in group],
                    embeddings=[item.vector for item in group],
                    metadatas=[{**item.filters, DOCUMENT: item.document} for item in group],
                )
            count += len(group)
        return count

    def delete(self, ids: Sequence[str]) -> None:
        for group in in_groups(ids, BATCH_ITEMS):
            with _asking(self._address):
                self._collection.delete(ids=group)

    def nearest(
        self, vector: Floats, limit: int, where: Mapping[str, Any] | None = None
    ) -> list[Near]:
        query = unit_vector(vector, self._label.embedder.dims)
        narrowed = mongo_filter(where, self._label.filters)
        with _asking(self._address):
            found = self._collection.query(
                query_embeddings=[query],
                n_results=checked_limit(limit),
                where=narrowed,
                include=["metadatas", "distances"],
            )
        distances = cast("list[list[float]]", found["distances"])[0]
        metadatas = cast("list[list[dict[str, Any] | None]]", found["metadatas"])[0]
        return [
            Near(id_, self._offset + self._slope * distance, _metadata(metadata or {}))
            for id_, distance, metadata in zip(found["ids"][0], distances, metadatas, strict=True)
        ]

    def fetch(self, ids: Sequence[str]) -> dict[str, Floats]:
        vectors: dict[str, Floats] = {}
        for group in in_groups(ids, BATCH_ITEMS):
            with _asking(self._address):
                found = self._collection.get(ids=group, include=["embeddings"])
            if found["ids"]:
                vectors.update(zip(found["ids"], unit_rows(found["embeddings"]), strict=True))
        return vectors

    def count(self) -> int:
        with _asking(self._address):
            return int(self._collection.count())

    def close(self) -> None:
        _close(self._client)

    def _open(self, wanted: Label | None) -> tuple[Any, Label]:
        """The collection with its label, made or adopted where that is wanted."""
        name = self._address.collection
        with _asking(self._address):
            try:
                collection = self._client.get_collection(name, embedding_function=None)
            except NotFoundError:
                collection = None
            if collection is None:
                if wanted is None:
                    raise no_collection(self.url)
                collection = self._client.create_collection(
                    name,
                    embedding_function=None,
                    metadata={LABEL: encode_label(wanted)},
                    configuration={"hnsw": GRAPH},
                )
                return collection, wanted
            known = read_label((collection.metadata or {}).get(LABEL), self.url)
            label = agreed(known, wanted, self.url, may_adopt=self._address.flag("adopt"))
            if known is None:
                one = collection.get(limit=1, include=["embeddings"])["embeddings"]
                for vector in one:
                    unit_vector(vector, label.embedder.dims)
                collection.modify(
                    metadata={**(collection.metadata or {}), LABEL: encode_label(label)}
                )
        return collection, label


def _connect(address: Address, environ: Mapping[str, str]) -> ClientAPI:
    settings = chromadb.Settings(anonymized_telemetry=False)
    if address.path:
        return chromadb.PersistentClient(address.path, settings=settings)
    # The client itself waits for an answer for ever, from its first question on.
    httpx.get(f"{address.endpoint}/api/v2/heartbeat", timeout=TIMEOUT_S)
    if key := environ.get("CHROMA_API_KEY", ""):
        settings.chroma_client_auth_provider = "chromadb.auth.token_authn.TokenAuthClientProvider"
        settings.chroma_client_auth_credentials = key
        settings.chroma_auth_token_transport_header = TokenTransportHeader.X_CHROMA_TOKEN
    client = chromadb.HttpClient(
        host=address.host,
        port=address.port or (443 if address.tls else 80),
        ssl=address.tls,
        settings=settings,
        tenant=address.options.get("tenant", chromadb.DEFAULT_TENANT),
        database=address.options.get("database", chromadb.DEFAULT_DATABASE),
    )
    for session in _sessions(client):
        session.timeout = httpx.Timeout(TIMEOUT_S)
    return client


def _sessions(client: ClientAPI) -> list[httpx.Client]:
    """The client's connections, which it gives no other way to bound or to close."""
    clients = (client, getattr(client, "_admin_client", None))
    found = [getattr(getattr(one, "_server", None), "_session", None) for one in clients]
    return [one for one in found if isinstance(one, httpx.Client)]


def _close(client: ClientAPI) -> None:
    sessions = _sessions(client)
    client.close()
    for session in sessions:
        session.close()


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    """An item's metadata; of a record that others wrote, what Chroma has of it."""
    document = record.get(DOCUMENT)
    return msgspec.json.decode(document, type=dict[str, Any]) if document else record


@contextmanager
def _asking(address: Address) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise unavailable(address, error) from None
