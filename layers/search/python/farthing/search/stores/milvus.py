"""Milvus: a file of Milvus Lite's, or a server, or a cluster of them.

    milvus:FILE.db[?collection=NAME]
    milvus+https://HOST[:PORT]/COLLECTION[?database=NAME&index=KIND&shards=N]    key: MILVUS_TOKEN

`index` is one of Milvus's kinds (AUTOINDEX, HNSW, IVF_SQ8, DISKANN) and counts, like `shards`, when
the collection is made. The label is a property of the collection; filters are fields of their own,
indexed by value.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grpc import RpcError
from pymilvus import DataType, MilvusClient, MilvusException

from farthing.errors import SettingsError
from farthing.search.stores.addresses import read_address
from farthing.search.stores.conditions import milvus_any_of, milvus_filter
from farthing.search.stores.contract import ID_BYTES_MAX, METADATA_BYTES_MAX, Near
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

LABEL = "farthing.label"
ID, VECTOR, DOCUMENT = "id", "vector", "document"
# A message to a server has 64 MB at most.
BATCH_ITEMS, BATCH_BYTES = 1_000, 20_000_000
TIMEOUT_S = 30.0
INDEXES = {
    "AUTOINDEX": {},
    "HNSW": {"M": 16, "efConstruction": 200},
    "IVF_SQ8": {"nlist": 4_096},
    "DISKANN": {},
}
SHARDS_MAX = 64
FAILURES = (MilvusException, RpcError, OSError)

# Its client, and Milvus Lite's server in this process, log what fails with tracebacks and with what
# was sent; here it is told by errors.
for noisy in ("pymilvus", "grpc._server"):
    logging.getLogger(noisy).setLevel(logging.CRITICAL)


def open_store(
    url: str, label: Label | None = None, environ: Mapping[str, str] = os.environ
) -> MilvusStore:
    """The store at the address; see `farthing.search.stores.open_store`."""
    address = read_address(url, frozenset({"database", "index", "shards"}))
    with _asking(address):
        client = MilvusClient(
            address.path or address.endpoint,
            token=environ.get("MILVUS_TOKEN", ""),
            db_name=address.options.get("database", ""),
            timeout=TIMEOUT_S,
        )
    try:
        return MilvusStore(address, client, label)
    except BaseException:
        client.close()
        raise


class MilvusStore:
    """A collection of Milvus's. A reader sees its own writes at once, those of others soon."""

    def __init__(self, address: Address, client: MilvusClient, label: Label | None) -> None:
        self.url = address.url
        self._address = address
        self._name = address.collection
        self._client = client
        self._label = self._open(label)

    def describe(self) -> Label:
        return self._label

    def upsert(self, items: Iterable[Item]) -> int:
        count = 0
        groups = batches(items, self._label, items_max=BATCH_ITEMS, bytes_max=BATCH_BYTES)
        for group in groups:
            rows = [
                {
                    ID: item.id,
                    VECTOR: item.vector,
                    DOCUMENT: item.document,
                    **{_field(name): value for name, value in item.filters.items()},
                }
                for item in group
            ]
            with _asking(self._address):
                self._client.upsert(self._name, rows, timeout=TIMEOUT_S)
            count += len(group)
        return count

    def delete(self, ids: Sequence[str]) -> None:
        for group in in_groups(ids, BATCH_ITEMS):
            with _asking(self._address):
                self._client.delete(self._name, filter=milvus_any_of(ID, group), timeout=TIMEOUT_S)

    def nearest(
        self, vector: Floats, limit: int, where: Mapping[str, Any] | None = None
    ) -> list[Near]:
        query = unit_vector(vector, self._label.embedder.dims)
        narrowed = milvus_filter(where, self._label.filters, _field)
        with _asking(self._address):
            (found,) = self._client.search(
                self._name,
                data=[query],
                anns_field=VECTOR,
                limit=checked_limit(limit),
                filter=narrowed,
                output_fields=[DOCUMENT],
                timeout=TIMEOUT_S,
            )
        return [
            Near(hit[ID], float(hit["distance"]), json.loads(hit["entity"][DOCUMENT]))
            for hit in found
        ]

    def fetch(self, ids: Sequence[str]) -> dict[str, Floats]:
        vectors: dict[str, Floats] = {}
        for group in in_groups(ids, BATCH_ITEMS):
            with _asking(self._address):
                found = self._client.query(
                    self._name,
                    filter=milvus_any_of(ID, group),
                    output_fields=[ID, VECTOR],
                    timeout=TIMEOUT_S,
                )
            if found:
                rows = unit_rows([row[VECTOR] for row in found])
                vectors.update(zip((row[ID] for row in found), rows, strict=True))
        return vectors

    def count(self) -> int:
        with _asking(self._address):
            (row,) = self._client.query(
                self._name, filter="", output_fields=["count(*)"], timeout=TIMEOUT_S
            )
        return int(row["count(*)"])

    def close(self) -> None:
        self._client.close()

    def _open(self, wanted: Label | None) -> Label:
        """The collection's label; it is made where that is wanted, and loaded."""
        with _asking(self._address):
            if not self._client.has_collection(self._name, timeout=TIMEOUT_S):
                if wanted is None:
                    raise no_collection(self.url)
                self._make(wanted)
                return wanted
            properties = self._client.describe_collection(self._name)["properties"]
            label = agreed(
                # Fields that others chose cannot be adopted.
                read_label(properties.get(LABEL), self.url),
                wanted,
                self.url,
                may_adopt=False,
            )
            self._client.load_collection(self._name)
        return label

    def _make(self, label: Label) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=ID_BYTES_MAX)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=label.embedder.dims)
        schema.add_field(DOCUMENT, DataType.VARCHAR, max_length=METADATA_BYTES_MAX)
        indexes = self._client.prepare_index_params()
        kind, shards = _sizing(self._address)
        indexes.add_index(VECTOR, index_type=kind, metric_type="COSINE", params=INDEXES[kind])
        for one in label.filters:
            name = _field(one.name)
            if one.kind == "number":
                schema.add_field(name, DataType.DOUBLE, nullable=True)
            else:
                length = METADATA_BYTES_MAX
                schema.add_field(name, DataType.VARCHAR, nullable=True, max_length=length)
            indexes.add_index(name, index_type="INVERTED")
        self._client.create_collection(
            self._name,
            schema=schema,
            index_params=indexes,
            num_shards=shards,
            consistency_level="Session",
            properties={LABEL: encode_label(label)},
        )


def _sizing(address: Address) -> tuple[str, int]:
    """The kind of index and the shards that the address asks for. Raises `SettingsError`."""
    kind = address.options.get("index", "AUTOINDEX").upper()
    shards = address.options.get("shards", "1")
    if kind not in INDEXES or not shards.isdecimal() or not 1 <= int(shards) <= SHARDS_MAX:
        raise SettingsError(
            f"The vector store's address asks for an index or shards that it cannot have. Use one "
            f"of {', '.join(INDEXES)}, and 1 to {SHARDS_MAX} shards."
        )
    return kind, int(shards)


def _field(name: str) -> str:
    """The field of a filter: Milvus's names are of ASCII letters, digits and underscores."""
    is_plain = name.isascii() and name.isidentifier()
    return f"f_{name}" if is_plain else f"f_{zlib.crc32(name.encode()):08x}"


@contextmanager
def _asking(address: Address) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise unavailable(address, error) from None
