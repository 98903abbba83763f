"""A collection's label, and what is refused where it is not the one that was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from farthing.errors import SettingsError
from farthing.search.errors import EmbedderMismatch, IndexMissing, VectorStoreUnavailable
from farthing.search.stores.contract import Label

if TYPE_CHECKING:
    from farthing.search.manifest import EmbedderFacts
    from farthing.search.stores.addresses import Address

DIGEST_CHARS = 12


def encode_label(label: Label) -> str:
    return msgspec.json.encode(label).decode()


def read_label(raw: object, url: str) -> Label | None:
    """The label in what a collection says of itself; None where it says nothing.

    Raises `EmbedderMismatch` for what is no label, or one of a later version.
    """
    if not isinstance(raw, str) or not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=Label)
    except msgspec.MsgspecError:
        raise EmbedderMismatch(
            f"The collection of {url} has a label that this Farthing cannot read, so nobody knows "
            "whose vectors it holds. Upgrade Farthing, or use another collection."
        ) from None


def agreed(known: Label | None, wanted: Label | None, url: str, *, may_adopt: bool) -> Label:
    """The label of a collection that is there: `known`, where it serves what is wanted.

    A collection without one is taken for what is wanted if it `may_adopt`. Raises
    `EmbedderMismatch` where the vectors are another embedder's, or nobody's; `SettingsError` where
    it cannot be narrowed as wanted.
    """
    if known is None:
        if may_adopt and wanted is not None:
            return wanted
        raise EmbedderMismatch(
            f"The collection of {url} does not say which embedder made its vectors. If they are "
            "of the index's embedder, say so once with adopt=true in the address; else use "
            "another collection."
        )
    if wanted is None:
        return known
    if known.embedder.digest != wanted.embedder.digest or (
        known.embedder.dims != wanted.embedder.dims
    ):
        raise EmbedderMismatch(
            f"The collection of {url} holds vectors of {_named(known.embedder)}, not of "
            f"{_named(wanted.embedder)}; they cannot be compared. Use another collection, or that "
            "embedder."
        )
    missing = [one.name for one in wanted.filters if one not in known.filters]
    if missing:
        raise SettingsError(
            f"The collection of {url} was made without the filters {', '.join(missing)}. Export "
            "the index to another collection."
        )
    return known


def no_collection(url: str) -> IndexMissing:
    return IndexMissing(
        f"There is no such collection at {url}. Make one with `farthing index export DIR --to URL`."
    )


def unavailable(address: Address, error: Exception) -> VectorStoreUnavailable:
    """The error for what a client raised: by its kind only, as its text may hold what was sent."""
    status = getattr(error, "status_code", None)
    kind = f"{type(error).__name__}, status {status}" if status else type(error).__name__
    remedy = (
        "See that it is one of its own kind, in a folder that may be written; Milvus Lite's files "
        "end in .db."
        if address.path
        else "See that it runs, that this machine reaches it, and that the key in the environment "
        "opens it."
    )
    return VectorStoreUnavailable(
        f"The vector store {address.url} did not do as asked ({kind}). {remedy}"
    )


def _named(embedder: EmbedderFacts) -> str:
    return f"{embedder.name} {embedder.digest[:DIGEST_CHARS]} ({embedder.dims} dims)"
