"""Entries, records and roots for tests, with only what a test cares for said."""

from __future__ import annotations

from typing import Any

from farthing.billing.ledger import Entry, Record, Root
from farthing.billing.tariff import Tariff
from farthing.usage import Usage

# 2026-11-22T12:00:00Z
NOON_MS = 1_795_348_800_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

TARIFF = Tariff("lambda", "us-east-1", "x86_64", book="2026-11-21")


def usage(**changes: Any) -> Usage:
    facts = {
        "prompt_tokens": 23,
        "truncated": 0,
        "busy_ns": 3_141_592,
        "init_ns": 0,
        "memory_mb": 1024,
        "vcpu_milli": 579,
        "disk_mb": 512,
        "cold": False,
    }
    return Usage(**{**facts, **changes})


def entry(number: int = 1, **changes: Any) -> Entry:
    facts = {
        "writer": "writer-a",
        "number": number,
        "function": "classify",
        "request_id": f"request-{number}",
        "at_ms": NOON_MS + number,
        "tenant": "acme",
        "kind": "answer",
        "task": "classify",
        "model": "product-classifier",
        "lease": "lease-1",
        "usage": usage(),
        "tariff": TARIFF,
    }
    return Entry(**{**facts, **changes})


def record(number: int = 1, **changes: Any) -> Record:
    facts = {
        "source": f"stream/{number:06d}",
        "function": "classify",
        "request_id": f"request-{number}",
        "at_ms": NOON_MS + number,
        "billed_ms": 4,
        "duration_ns": 3_500_000,
        "memory_mb": 1024,
        "max_memory_mb": 180,
    }
    return Record(**{**facts, **changes})


def root(sequence: int = 0, **changes: Any) -> Root:
    facts = {
        "tenant": "acme",
        "hour": "2026-11-22T12",
        "sequence": sequence,
        "count": 7,
        "covers": (("writer-a", 1, 7),),
        "root": "ab" * 32,
        "previous": "00" * 32,
        "key_id": "key-1",
        "signed_at_ms": NOON_MS,
        "signature": "cd" * 64,
    }
    return Root(**{**facts, **changes})
