"""Items as every store takes them: checked, of length 1, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from farthing.errors import InvalidRequest
from farthing.search.stores.contract import (
    ID_BYTES_MAX,
    METADATA_BYTES_MAX,
    NEAREST_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farthing.search.manifest import Filter
    from farthing.search.stores.contract import Floats, Item, Label

# Of a vector's component as JSON has it, "-0.012345678901234567,".
FLOAT_CHARS = 22
# What others keep may be all zeros, and stays so.
LENGTH_MIN = np.float32(1e-12)


class Ready(NamedTuple):
    """An item ready to be sent: `document` is its metadata as JSON, `filters` has every filter."""

    id: str
    vector: Floats
    document: str
    filters: dict[str, str | float | None]


def batches(
    items: Iterable[Item], label: Label, *, items_max: int, bytes_max: int
) -> Iterator[list[Ready]]:
    """The items in groups of at most `items_max` and about `bytes_max` as JSON, no id twice in one.

    Raises `InvalidRequest` for an item that no store takes; groups before it have been given.
    """
    group: dict[str, Ready] = {}
    size_bytes = 0
    for item in items:
        ready = _ready(item, label)
        item_bytes = len(ready.document) + FLOAT_CHARS * label.embedder.dims
        if group and (len(group) == items_max or size_bytes + item_bytes > bytes_max):
            yield list(group.values())
            group, size_bytes = {}, 0
        group[ready.id] = ready
        size_bytes += item_bytes
    if group:
        yield list(group.values())


def unit_vector(vector: Floats, dims: int) -> Floats:
    """The vector scaled to length 1. Raises `InvalidRequest` for one of other dims, or of none."""
    given = np.asarray(vector, dtype=np.float32)
    if given.shape != (dims,):
        raise InvalidRequest(
            f"A vector has the shape {list(given.shape)}; the store's have {dims} dims. Use the "
            "embedder that the store was made with."
        )
    length = float(np.linalg.norm(given))
    if not np.isfinite(length) or length == 0:
        raise InvalidRequest(
            "A vector has no direction: it is all zeros, or not of finite numbers. Leave it out."
        )
    unit: Floats = given / np.float32(length)
    return unit


def unit_rows(vectors: Any) -> Floats:
    """Vectors as a store gives them, float32[n, dims], scaled to length 1."""
    rows = np.asarray(vectors, dtype=np.float32)
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LENGTH_MIN)
    return unit


def checked_limit(limit: int) -> int:
    """`limit`, where a store may be asked for so many. Raises `InvalidRequest` otherwise."""
    if not 1 <= limit <= NEAREST_MAX:
        raise InvalidRequest(
            f"The nearest {limit} were asked for; a store tells the nearest 1 to {NEAREST_MAX}. "
            "Ask for so many."
        )
    return limit


def in_groups(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """Each id once, in groups of at most `size`."""
    distinct = list(dict.fromkeys(ids))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def _ready(item: Item, label: Label) -> Ready:
    if not 0 < len(item.id.encode()) <= ID_BYTES_MAX:
        raise InvalidRequest(
            f"An id has {len(item.id.encode())} bytes; vector stores take 1 to {ID_BYTES_MAX}. "
            "Give the documents shorter ids."
        )
    vector = unit_vector(item.vector, label.embedder.dims)
    try:
        document = msgspec.json.encode(item.metadata)
    except (TypeError, ValueError):
        raise InvalidRequest(
            "Metadata holds what JSON has not. Give texts, numbers, true, false, null, lists and "
            "objects of these."
        ) from None
    if len(document) > METADATA_BYTES_MAX:
        raise InvalidRequest(
            f"An item's metadata has {len(document):,} bytes as JSON; vector stores take "
            f"{METADATA_BYTES_MAX:,}. Keep the long texts elsewhere."
        )
    filters = {one.name: _filter_value(one, item.metadata) for one in label.filters}
    return Ready(item.id, vector, document.decode(), filters)


def _filter_value(filter_: Filter, metadata: Mapping[str, Any]) -> str | float | None:
    value = metadata.get(filter_.name)
    if value is None:
        return None
    if filter_.kind == "number":
        if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    elif isinstance(value, str):
        return value
    raise InvalidRequest(
        f"The filter {filter_.name} takes {filter_.kind}s, and an item's metadata has another "
        "kind of value there. Give every item the same kind, or null."
    )
