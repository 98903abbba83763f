"""Entries and records for the tests of receipts and settlement, in plain integers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from farthing.billing.ledger import Entry, Record
from farthing.billing.stores import open_store
from farthing.billing.tariff import Tariff
from farthing.ledger.signing import Signer
from farthing.usage import Usage

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
START_MS = int(dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC).timestamp()) * 1000
SIGNER = Signer(b"\x01" * 32)
OTHER_SIGNER = Signer(b"\x02" * 32)
LAMBDA = Tariff("lambda", "us-east-1", "x86_64")


def an_entry(
    number: int = 1, *, writer: str = "a" * 16, at_ms: int = START_MS, **changed: Any
) -> Entry:
    """An answered call on Lambda: 10 ms on 1 GB, unless told otherwise."""
    fields: dict[str, Any] = {
        "function": "farthing-classify",
        "request_id": f"{writer[:4]}-{number}",
        "tenant": "acme",
        "kind": "answer",
        "task": "classify",
        "model": "product-classifier",
        "usage": a_usage(),
        "tariff": LAMBDA,
    }
    return Entry(writer=writer, number=number, at_ms=at_ms, **(fields | changed))


def a_usage(**changed: Any) -> Usage:
    fields: dict[str, Any] = {
        "prompt_tokens": 7,
        "truncated": 0,
        "busy_ns": 9_500_000,
        "init_ns": 0,
        "memory_mb": 1024,
        "vcpu_milli": 578,
        "disk_mb": 512,
        "cold": False,
    }
    return Usage(**(fields | changed))


def a_record(request_id: str, *, at_ms: int = START_MS, billed_ms: int = 10, **changed: Any) -> Any:
    fields: dict[str, Any] = {
        "source": f"cloudwatch/{request_id}-{at_ms}",
        "function": "farthing-classify",
        "duration_ns": billed_ms * 1_000_000,
        "memory_mb": 1024,
    }
    return Record(request_id=request_id, at_ms=at_ms, billed_ms=billed_ms, **(fields | changed))


def a_ledger(*entries: Entry) -> Any:
    """A store in memory that holds the entries."""
    store = open_store("memory:")
    store.append(entries)
    return store
