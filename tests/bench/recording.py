"""What leave to begin and an entry at the end take: microseconds, bytes and dollars.

Dollars are list prices of the shipped book, us-east-1, per million calls and without free tiers.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.billing.leases import Leases
from farthing.billing.prices import read_price_book
from farthing.billing.recorders.line import LineRecorder, read_lines
from farthing.billing.recorders.spool import SpoolRecorder
from farthing.billing.stores.memory import MemoryStore
from farthing.billing.tariff import Tariff
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.usage import Usage
from tests.bench.results import Result, at_most, compared, p50

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farthing.billing.ledger import Entry

ADMISSION_US_MAX = 30
LINE_BYTES_MAX = 110
# CloudWatch bills 26 bytes beside each event's text.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutLogEvents.html
EVENT_BYTES = 26
WRITE_UNIT_BYTES = 1024
# What an item has beside its page: keys, time and names.
ITEM_BYTES = 120
WRITES_PER_CALL_OF_OTHERS = 2
CALLS_PER_ROUND = 5_000
LINES = 10_000
MILLION = 1_000_000
GB_BYTES = 1024**3
NS_PER_US = 1_000
PRICE = Decimal("0.000000234375")
ENTRY = {
    "function": "classify",
    "tenant": "shop",
    "kind": "answer",
    "task": "classify",
    "model": "product-classifier",
    "lease": "0123456789abcdef0123",
    "tariff": Tariff("lambda", "us-east-1", "x86_64"),
}


class CountingStore(MemoryStore):
    """Counts what it is asked on the request path."""

    asked = 0

    def lease(self, tenant: str, /, **asked: Any) -> Any:
        self.asked += 1
        return super().lease(tenant, **asked)

    def settle_lease(self, lease_id: str, spent_pico: int, /) -> bool:
        self.asked += 1
        return super().settle_lease(lease_id, spent_pico)


def run(rounds: int) -> list[Result]:
    """Medians over rounds of each round's mean."""
    store = CountingStore()
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", 1000 * PICO_PER_USD),)))
    leases = Leases(store)
    for _ in range(CALLS_PER_ROUND):
        leases.admit("shop", PRICE).settle(PRICE)
    store.asked = 0
    admission_us = _us(rounds, lambda _: leases.admit("shop", PRICE).settle(PRICE))
    asked = store.asked / rounds / CALLS_PER_ROUND * 100
    with tempfile.TemporaryDirectory() as folder:
        spool = SpoolRecorder(Path(folder) / "spool", 1024, store)
        spool_us = _us(rounds, lambda index: spool.record(**fields(index)))
        spool.close()
        with (Path(folder) / "log").open("ab", buffering=0) as file:
            line = LineRecorder(lambda data: file.write(data))
            line_us = _us(rounds, lambda index: line.record(**fields(index)))
    return [
        at_most("admit and settle, lease in hand", admission_us, ADMISSION_US_MAX, "µs"),
        at_most("questions to the store per 100 calls", asked, 1, ""),
        Result("record a line", line_us, unit="µs"),
        Result("record to the spool", spool_us, unit="µs"),
        *_dollars(),
    ]


def fields(index: int) -> dict[str, Any]:
    """An entry of a warm classification, its numbers as irregular as real ones."""
    busy_ns = 1_200_000 + index * 7_919 % 700_000
    return ENTRY | {
        "request_id": f"8f507cfc-8cc4-4d2b-9a4c-{index * 104_729 % 2**48:012x}",
        "at_ms": 1_795_305_600_123 + index * 37,
        "usage": Usage(8 + index % 17, 0, busy_ns, 0, 1024, 578, 512, cold=False),
    }


def _dollars() -> list[Result]:
    book = read_price_book(planning=True)
    log_usd = book.price("cloudwatch.logs.lambda", "us-east-1").rate
    write_usd = book.price("dynamodb.write", "us-east-1").rate
    lines: list[bytes] = []
    recorder = LineRecorder(lambda data: lines.append(data) or len(data))
    for index in range(LINES):
        recorder.record(**fields(index))
    line_bytes = sum(map(len, lines)) / LINES
    billed_gb = (sum(map(len, lines)) + EVENT_BYTES * len(lines)) / LINES * MILLION / GB_BYTES
    entries = list(read_lines(lines))
    others_usd = float(write_usd) * WRITES_PER_CALL_OF_OTHERS * MILLION
    return [
        at_most("bytes of a line", line_bytes, LINE_BYTES_MAX, "B"),
        compared("line in CloudWatch, a million", billed_gb * float(log_usd), others_usd, "USD"),
        *(
            compared(
                f"spool to DynamoDB by {group}, a million",
                _write_units(entries, group) / LINES * float(write_usd) * MILLION,
                others_usd,
                "USD",
            )
            for group in (100, 500)
        ),
        Result(
            "spool's file", _mean(len(msgspec.json.encode(one)) + 10 for one in entries), unit="B"
        ),
    ]


def _write_units(entries: list[Entry], group: int) -> int:
    units = 0
    for first in range(0, len(entries), group):
        page = b"\n".join(msgspec.json.encode(one) for one in entries[first : first + group])
        units += -(-(len(zlib.compress(page)) + ITEM_BYTES) // WRITE_UNIT_BYTES)
    return units


def _us(rounds: int, once: Callable[[int], object]) -> float:
    taken_us = []
    for _ in range(rounds):
        started_ns = time.perf_counter_ns()
        for index in range(CALLS_PER_ROUND):
            once(index)
        taken_us.append((time.perf_counter_ns() - started_ns) / CALLS_PER_ROUND / NS_PER_US)
    return p50(taken_us)


def _mean(values: Iterable[int]) -> float:
    found = list(values)
    return sum(found) / len(found)
