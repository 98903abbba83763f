"""Writes that wait in the index's own storage: safe once taken, applied in order and once.

A function that answers searches takes them; one that runs now and then applies them.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from farthing.errors import FileMissing
from farthing.search.changes import Change, Upsert, checked
from farthing.search.publishing import publish, read_manifest
from farthing.search.updates import Update, existing
from farthing.search.upkeep import tend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farthing.inference.tasks import Embedder
    from farthing.search.manifest import IndexManifest
    from farthing.storage import Storage

WRITES = "writes/"
RECEIPTS_MAX = 1000
CHANGES_MAX = 20_000

_decode = msgspec.json.Decoder(list[Change]).decode


class Drained(NamedTuple):
    """The version that is current now, how many changes it took in, and why others were not.

    `waiting` writes are left for the next time.
    """

    version: int
    applied: int
    refused: list[str]
    waiting: int


def submit(storage: Storage, changes: Sequence[Change]) -> str:
    """A receipt, when the changes are kept for good and will be part of a later version.

    Raises `DocumentInvalid` where a document cannot be, `IndexMissing` where there is no index.
    """
    index = read_manifest(storage)
    for change in changes:
        if isinstance(change, Upsert):
            checked(index, change)
    receipt = _receipts.next()
    storage.write(_file(receipt), msgspec.json.encode(list(changes)), expect=None)
    return receipt


def drain(storage: Storage, work: Path, embedder: Embedder) -> Drained:
    """What became of the writes that wait: all of them one new version, or none.

    Killed at any point it may be called again, by several processes at once too: a write counts
    once. `work` and what is raised are as in `farthing.search.updates.apply`.
    """
    draining = _Draining(storage, Update(storage, work, embedder))
    manifest = publish(storage, draining.on)
    for receipt in draining.done:
        storage.delete(_file(receipt))
    manifest = tend(storage, work, manifest)
    return Drained(manifest.version, draining.applied, draining.refused, draining.waiting)


class _Draining:
    """One try after the other to publish what waits.

    A write is in the queue, in the manifest's `applied`, or in both until its file is deleted.
    Its receipt leaves `applied` only after its file was seen to be gone. `on` is given a manifest
    that was read before the queue is listed here, and publishing fails if it is not current any
    more: so what is in the queue and not in `applied` has never been applied.
    """

    def __init__(self, storage: Storage, update: Update) -> None:
        self._storage = storage
        self._update = update
        self.applied = 0
        self.waiting = 0
        self.done: list[str] = []
        self.refused: list[str] = []

    def on(self, current: IndexManifest | None) -> IndexManifest:
        index = existing(current, self._storage)
        queued = [
            name.removeprefix(WRITES).removesuffix(".json") for name in self._storage.names(WRITES)
        ]
        applied = set(index.applied)
        leftover = [receipt for receipt in queued if receipt in applied]
        taken, changes, self.refused = self._read([each for each in queued if each not in applied])
        self.waiting = len(queued) - len(leftover) - len(taken)
        self.done = leftover + taken
        self.applied = 0
        if not taken:
            return index
        fresh = self._update.on(index, changes)
        self.refused += self._update.applied.refused
        self.applied = len(changes) - len(self._update.applied.refused)
        return msgspec.structs.replace(fresh, applied=tuple(self.done))

    def _read(self, receipts: Sequence[str]) -> tuple[list[str], list[Change], list[str]]:
        """The first writes that fit into one version: receipts, changes, and what is no write."""
        taken: list[str] = []
        changes: list[Change] = []
        refused: list[str] = []
        for receipt in receipts[:RECEIPTS_MAX]:
            if len(changes) >= CHANGES_MAX:
                break
            try:
                changes += _decode(self._storage.read(_file(receipt)))
            except FileMissing:
                continue  # another process has just applied and deleted it
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                refused.append(f"The write {receipt} cannot be read: {error}. Send it again.")
            taken.append(receipt)
        return taken, changes, refused


class _Receipts:
    """Names in order of arrival: nanoseconds of the clock, never the same twice, and chance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ns = 0

    def next(self) -> str:
        with self._lock:
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            return f"{self._last_ns:016x}-{secrets.token_hex(8)}"


_receipts = _Receipts()


def _file(receipt: str) -> str:
    return f"{WRITES}{receipt}.json"
