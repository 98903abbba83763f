"""Pinecone: a serverless index made with `dimension` and metric `cosine`.

    pinecone://INDEX-HOST[/NAMESPACE]    key: PINECONE_API_KEY

Its ids are of ASCII, 512 characters at most: others are kept under their SHA-256. The label is a
record of a namespace of its own. What is written is seen by readers after some seconds.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from pinecone import Index, PineconeError

from farthing.errors import SettingsError
from farthing.search.errors import EmbedderMismatch
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

    from farthing.search.stores.addresses import Address
    from farthing.search.stores.contract import Floats, Item, Label

DOCUMENT, REAL_ID, LABEL = "farthing_document", "farthing_id", "farthing_label"
ID_CHARS_MAX = 512
# A request has 2 MB and 1,000 records at most; ids to fetch go into its address.
BATCH_ITEMS, BATCH_BYTES = 1_000, 1_900_000
FETCH_ITEMS = 100
DELETE_ITEMS = 1_000
TIMEOUT_S = 30.0
FAILURES = (PineconeError, httpx.HTTPError, OSError)


def open_store(
    url: str, label: Label | None = None, environ: Mapping[str, str] = os.environ
) -> PineconeStore:
    """The store at the address; see `farthing.search.stores.open_store`."""
    address = read_address(url)
    key = environ.get("PINECONE_API_KEY", "")
    if not key:
        raise SettingsError(
            f"{address.url} needs a key, and PINECONE_API_KEY is not set. Set it to one that opens "
            "the index."
        )
    with _asking(address):
        index = Index(host=address.endpoint, api_key=key, timeout=TIMEOUT_S)
    try:
        return PineconeStore(address, index, label)
    except BaseException:
        index.close()
        raise


class PineconeStore:
    """A namespace of a Pinecone index."""

    def __init__(self, address: Address, index: Index, label: Label | None) -> None:
        self.url = address.url
        self._address = address
        self._namespace = address.collection
        self._index = index
        self._label = self._open(label)

    def describe(self) -> Label:
        return self._label

    def upsert(self, items: Iterable[Item]) -> int:
        count = 0
        groups = batches(items, self._label, items_max=BATCH_ITEMS, bytes_max=BATCH_BYTES)
        for group in groups:
            vectors = [
                {
                    "id": _key(item.id),
                    "values": item.vector.tolist(),
                    "metadata": {
                        **{
                            name: value for name, value in item.filters.items() if value is not None
                        },
                        DOCUMENT: item.document,
                        REAL_ID: item.id,
                    },
                }
                for item in group
            ]
            with _asking(self._address):
                self._index.upsert(vectors=vectors, namespace=self._namespace)
            count += len(group)
        return count

    def delete(self, ids: Sequence[str]) -> None:
        for group in in_groups([_key(id_) for id_ in ids], DELETE_ITEMS):
            with _asking(self._address):
                self._index.delete(ids=group, namespace=self._namespace)

    def nearest(
        self, vector: Floats, limit: int, where: Mapping[str, Any] | None = None
    ) -> list[Near]:
        query = unit_vector(vector, self._label.embedder.dims)
        narrowed = mongo_filter(where, self._label.filters)
        with _asking(self._address):
            found = self._index.query(
                top_k=checked_limit(limit),
                vector=query.tolist(),
                namespace=self._namespace,
                filter=narrowed,
                include_metadata=True,
            )
        return [_near(match.id, match.score, match.metadata or {}) for match in found.matches]

    def fetch(self, ids: Sequence[str]) -> dict[str, Floats]:
        real_ids = {_key(id_): id_ for id_ in ids}
        vectors: dict[str, Floats] = {}
        for group in in_groups(list(real_ids), FETCH_ITEMS):
            with _asking(self._address):
                found = self._index.fetch(ids=group, namespace=self._namespace).vectors
            if found:
                rows = unit_rows([one.values for one in found.values()])
                vectors.update(zip((real_ids[key] for key in found), rows, strict=True))
        return vectors

    def count(self) -> int:
        with _asking(self._address):
            namespaces = self._index.describe_index_stats().namespaces
        summary = namespaces.get(self._namespace)
        return summary.vector_count if summary else 0

    def close(self) -> None:
        self._index.close()

    def _open(self, wanted: Label | None) -> Label:
        """The namespace's label, written where it has none and holds nothing, or is adopted."""
        aside = f"{self._namespace}.label"
        with _asking(self._address):
            found = self._index.fetch(ids=[LABEL], namespace=aside).vectors.get(LABEL)
            dims = self._index.describe_index_stats().dimension
        known = read_label(((found and found.metadata) or {}).get(LABEL), self.url)
        if known is None and wanted is None and not self.count():
            raise no_collection(self.url)
        may_adopt = self._address.flag("adopt") or not (found or self.count())
        label = agreed(known, wanted, self.url, may_adopt=may_adopt)
        if dims is not None and dims != label.embedder.dims:
            raise EmbedderMismatch(
                f"The index of {self.url} has {dims} dims; {label.embedder.name} has "
                f"{label.embedder.dims}. Make one with as many, and the metric cosine."
            )
        if known is None:
            record = {
                "id": LABEL,
                "values": [1.0] + [0.0] * (label.embedder.dims - 1),
                "metadata": {LABEL: encode_label(label)},
            }
            with _asking(self._address):
                self._index.upsert(vectors=[record], namespace=aside)
        return label


def _key(id_: str) -> str:
    """The id that a record is kept under."""
    if id_.isascii() and id_.isprintable() and len(id_) <= ID_CHARS_MAX:
        return id_
    return f"sha256-{hashlib.sha256(id_.encode()).hexdigest()}"


def _near(key: str, score: float, record: dict[str, Any]) -> Near:
    """A match; of a record that others wrote, the metadata that Pinecone has of it."""
    document = record.get(DOCUMENT)
    metadata = msgspec.json.decode(document, type=dict[str, Any]) if document else record
    return Near(record.get(REAL_ID, key), float(score), metadata)


@contextmanager
def _asking(address: Address) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise unavailable(address, error) from None
