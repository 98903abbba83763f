"""Entries for tests, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

import msgspec

from farthing.billing.ledger import Entry
from farthing.billing.periods import read_month
from farthing.billing.tariff import Tariff
from farthing.usage import Usage

MONTH = read_month("2026-11")
LAMBDA = Tariff("lambda", "us-east-1", "x86_64")
FC = Tariff("fc", "international", "x86_64")
KNATIVE = Tariff("knative", "us-east-1", "x86_64", node="c7i.xlarge", singly=False)


def used(**values: Any) -> Usage:
    """One millisecond of a 1,024 MB instance, with ten tokens."""
    plain: dict[str, Any] = {
        "prompt_tokens": 10,
        "truncated": 0,
        "busy_ns": 1_000_000,
        "init_ns": 0,
        "memory_mb": 1024,
        "vcpu_milli": 1000,
        "disk_mb": 512,
        "cold": False,
    }
    return Usage(**{**plain, **values})


def entry(number: int = 1, **values: Any) -> Entry:
    """The answer of a first day's first millisecond, at cost on Lambda; its id is its number."""
    usage = used(
        **{name: values.pop(name) for name in list(values) if name in Usage.__annotations__}
    )
    plain: dict[str, Any] = {
        "writer": "w",
        "number": number,
        "function": "classify",
        "request_id": f"r{number}",
        "at_ms": MONTH.since_ms,
        "tenant": "acme",
        "kind": "answer",
        "task": "classify",
        "model": "product-classifier",
        "usage": usage,
        "tariff": LAMBDA,
    }
    return msgspec.convert({**plain, **values}, Entry, from_attributes=True)
