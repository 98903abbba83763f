"""Entries and records in pages, roots and marks: the ledger's half of the table."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import os
import time
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from farthing.billing.ledger import Entry, Record, Root
from farthing.billing.stores.dynamodb.table import key, number, text
from farthing.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farthing.billing.stores.dynamodb.table import Item, Table

T = TypeVar("T", Entry, Record)

# DynamoDB's items hold 400 KB; compressed, a thousand entries take a tenth of that.
PAGE_BYTES_MAX: Final = 350_000
PAGE_FACTS_MAX: Final = 1_000
MS_MAX: Final = 253_402_300_799_999


class DynamoDbLedger:
    """A group delivered again makes the same pages under the same keys. One regrouped makes new
    pages, and reading takes each fact from the page that was kept first."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hours: set[tuple[str, str]] = set()

    def append(self, entries: Iterable[Entry], /) -> None:
        self._append("entries", entries, lambda entry: f"{entry.writer}#{entry.number:010d}")

    def entries(
        self, since_ms: int, until_ms: int, /, *, tenant: str | None = None
    ) -> Iterator[Entry]:
        for found in self._facts("entries", Entry, lambda entry: entry.key, since_ms, until_ms):
            mine = [entry for entry in found if tenant in (None, entry.tenant)]
            yield from sorted(mine, key=lambda entry: (entry.at_ms, entry.writer, entry.number))

    def append_records(self, records: Iterable[Record], /) -> None:
        self._append("records", records, lambda record: f"{record.at_ms:016d}")

    def records(self, since_ms: int, until_ms: int, /) -> Iterator[Record]:
        for found in self._facts("records", Record, lambda one: one.source, since_ms, until_ms):
            yield from sorted(found, key=lambda record: (record.at_ms, record.source))

    def append_root(self, root: Root, /) -> bool:
        body = text(msgspec.json.encode(root).decode())
        place = f"{root.tenant}#{root.sequence:010d}"
        attempt = text(os.urandom(8).hex())
        item = {**key("roots", place), "body": body, "attempt": attempt}
        if self._table.put(item, new=True):
            return True
        # The answer to an earlier try of this very call may have been lost, and the root kept.
        kept = self._table.get("roots", place)
        return kept is not None and kept.get("attempt") == attempt

    def roots(self, *, tenant: str | None = None) -> Iterator[Root]:
        bounds = () if tenant is None else (f"{tenant}#", f"{tenant}#~")
        for item in self._table.query("roots", *bounds):
            yield _decoded(item["body"]["S"], Root)

    def mark(self, name: str, /) -> str:
        item = self._table.get("marks", name)
        return item["value"]["S"] if item else ""

    def set_mark(self, name: str, value: str, /) -> None:
        self._table.put({**key("marks", name), "value": text(value)})

    def _append(self, kind: str, facts: Iterable[T], label: Callable[[T], str]) -> None:
        hours: defaultdict[str, list[tuple[str, bytes]]] = defaultdict(list)
        for fact in facts:
            hours[_hour(fact.at_ms)].append((label(fact), msgspec.json.encode(fact)))
        for hour, lines in sorted(hours.items()):
            if (kind, hour) not in self._hours:
                self._table.put(key(f"hours#{kind}", hour))
                self._hours.add((kind, hour))
            for item in _pages(sorted(lines)):
                place = key(f"{kind}#{hour}", item.pop("sk")["S"])
                self._table.put({**place, **item}, new=True)

    def _facts(
        self, kind: str, of: type[T], name: Callable[[T], object], since_ms: int, until_ms: int
    ) -> Iterator[list[T]]:
        """The facts of each hour in turn, in no order: an hour is what memory has to hold."""
        if since_ms >= until_ms:
            return
        hours = self._table.query(f"hours#{kind}", _hour(since_ms), _hour(until_ms - 1))
        for hour in [item["sk"]["S"] for item in hours]:
            pages = list(self._table.query(f"{kind}#{hour}"))
            pages.sort(key=lambda page: (int(page["kept_ms"]["N"]), page["sk"]["S"]))
            found: dict[object, T] = {}
            for page in pages:
                for fact in _unpacked(page, of):
                    found.setdefault(name(fact), fact)
            yield [fact for fact in found.values() if since_ms <= fact.at_ms < until_ms]


def _pages(lines: Sequence[tuple[str, bytes]]) -> Iterator[Item]:
    """The items, without partition, that hold labelled lines of JSON."""
    for first in range(0, len(lines), PAGE_FACTS_MAX):
        yield from _page(lines[first : first + PAGE_FACTS_MAX])


def _page(lines: Sequence[tuple[str, bytes]]) -> Iterator[Item]:
    content = b"\n".join(line for _, line in lines)
    packed = base64.b64encode(zlib.compress(content))
    if len(packed) > PAGE_BYTES_MAX and len(lines) > 1:
        middle = len(lines) // 2
        yield from _page(lines[:middle])
        yield from _page(lines[middle:])
        return
    digest = hashlib.sha256(content).hexdigest()[:16]
    yield {
        "sk": text(f"{lines[0][0]}#{digest}"),
        "kept_ms": number(time.time_ns() // 1_000_000),
        "facts": {"B": packed.decode()},
    }


def _unpacked(page: Item, of: type[T]) -> list[T]:
    try:
        content = zlib.decompress(base64.b64decode(page["facts"]["B"]))
    except (KeyError, ValueError, zlib.error):
        raise LedgerError(
            "A page of the ledger is not what was written. Compare the table with a backup."
        ) from None
    return [_decoded(line, of) for line in content.split(b"\n")]


def _decoded(line: bytes | str, of: type[Any]) -> Any:
    try:
        return msgspec.json.decode(line, type=of)
    except msgspec.DecodeError as error:
        raise LedgerError(
            f"A page of the ledger is not what was written: {error}. Compare the table with a "
            "backup."
        ) from None


def _hour(at_ms: int) -> str:
    """`2026-11-22T05`; moments before 1970 and after 9999 fall into the first and last hour."""
    moment = dt.datetime.fromtimestamp(min(max(at_ms, 0), MS_MAX) // 1000, tz=dt.UTC)
    return moment.strftime("%Y-%m-%dT%H")
