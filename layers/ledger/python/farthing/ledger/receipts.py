"""Receipts: one entry, and the proof that it is in a signed root; no ledger is needed for it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

import msgspec

from farthing.billing.ledger import Entry, Root
from farthing.errors import LedgerError
from farthing.ledger.chains import HOUR_MS, Chains, hour_end_ms
from farthing.ledger.covers import Covers
from farthing.ledger.merkle import audit_path, leaf_hash, root_from
from farthing.ledger.sealing import GRACE_MS

if TYPE_CHECKING:
    from farthing.billing.ledger import Ledger
    from farthing.ledger.signing import PublicKeys


class ReceiptMissing(LedgerError):
    """There is no receipt to give, or not yet."""


class ReceiptBroken(LedgerError):
    """A receipt does not prove what it says."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` are the sibling hashes, in hex, from leaf `index` of `root.count` up to the root.

    The leaf is the entry's canonical JSON: members in the order they have here, no spaces, UTF-8.
    """

    format: Literal["farthing-receipt-v1"] = "farthing-receipt-v1"
    entry: Entry
    index: int
    path: tuple[str, ...]
    root: Root


def encode(receipt: Receipt) -> bytes:
    """The receipt as its file holds it: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"


def decode(raw: bytes) -> Receipt:
    """The receipt of a file. Raises `ReceiptBroken` for what is none."""
    try:
        return msgspec.json.decode(raw, type=Receipt)
    except msgspec.MsgspecError:
        raise ReceiptBroken(
            "The file is no receipt that `farthing bill receipt` wrote, or was cut off or changed. "
            "Ask for it again."
        ) from None


def receipt_of(
    ledger: Ledger, tenant: str, request_id: str, *, since_ms: int, until_ms: int
) -> Receipt:
    """The receipt of a tenant's first answered attempt at a request, within a time.

    Raises `ReceiptMissing` where the ledger has no such entry, or has not sealed it yet.
    """
    entry = _find(ledger, tenant, request_id, since_ms, until_ms)
    chains = Chains(ledger.roots(tenant=tenant))
    sequence = chains.covers.sequence(tenant, entry.writer, entry.number)
    root = next((one for one in ledger.roots(tenant=tenant) if one.sequence == sequence), None)
    if root is None:
        sealed_ms = (entry.at_ms // HOUR_MS + 1) * HOUR_MS + GRACE_MS
        raise ReceiptMissing(
            "The request is in the ledger, but its hour is not sealed yet; hours are sealed "
            f"{GRACE_MS // 60_000} minutes after their end. Ask again, or run "
            f"`farthing bill seal` from {_clock(sealed_ms)} UTC on."
        )
    leaves, index = _leaves(ledger, root, entry)
    return Receipt(
        entry=entry,
        index=index,
        path=tuple(sibling.hex() for sibling in audit_path(leaves, index)),
        root=root,
    )


def check(receipt: Receipt, keys: PublicKeys) -> None:
    """Raises `ReceiptBroken`, saying why, unless the entry is in a root of a known key."""
    entry, root = receipt.entry, receipt.root
    if root.key_id not in keys:
        raise ReceiptBroken(
            "The receipt is signed with a key that is not known here. Give the public keys of "
            "who issued it with --public-keys."
        )
    if not keys.verify(root):
        raise ReceiptBroken("The receipt's root was changed: its signature is not that of its key.")
    covers = Covers()
    covers.add(root)
    try:
        path = [bytes.fromhex(sibling) for sibling in receipt.path]
    except ValueError:
        path = []
    leaf = leaf_hash(msgspec.json.encode(entry))
    found = root_from(leaf, receipt.index, root.count, path)
    held = covers.sequence(entry.tenant, entry.writer, entry.number)
    if found is None or found.hex() != root.root or held is None:
        raise ReceiptBroken(
            "The receipt's entry was changed: it is not in the root that the receipt names."
        )


def _find(ledger: Ledger, tenant: str, request_id: str, since_ms: int, until_ms: int) -> Entry:
    refused = None
    for entry in ledger.entries(since_ms, until_ms, tenant=tenant):
        if entry.request_id == request_id:
            if entry.kind == "answer":
                return entry
            refused = refused or entry
    if refused is None:
        raise ReceiptMissing(
            "The ledger has no entry of that tenant and request. The id is the answer's "
            "X-Request-Id; on a schedule the ledger is up to an hour behind."
        )
    return refused


def _leaves(ledger: Ledger, root: Root, entry: Entry) -> tuple[list[bytes], int]:
    """The hashes of the root's leaves, and which of them is the entry's."""
    covers = Covers()
    covers.add(root)
    leaves: list[bytes] = []
    index = -1
    for one in ledger.entries(0, hour_end_ms(root.hour), tenant=root.tenant):
        if covers.sequence(one.tenant, one.writer, one.number) is not None:
            index = len(leaves) if one.key == entry.key else index
            leaves.append(leaf_hash(msgspec.json.encode(one)))
    if index < 0 or len(leaves) != root.count:
        raise ReceiptBroken(
            "The ledger's entries are not those that were sealed, so no receipt can be given. Run "
            "`farthing bill verify`."
        )
    return leaves, index


def _clock(moment_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(moment_ms / 1000, tz=dt.UTC):%Y-%m-%d %H:%M}"
