"""What a Knative Service sets, and what an answer then costs by the price book's own rows."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from typing import Any

from tests.functions.server import ROOT

MEMORY_MB, VCPU_MILLI = 1536, 750
KNATIVE = {
    "K_SERVICE": "farthing",
    "K_REVISION": "farthing-00001",
    "FARTHING_MEMORY_MB": str(MEMORY_MB),
    "FARTHING_VCPU_MILLI": str(VCPU_MILLI),
}
BOOK = ROOT / "layers/core/python/farthing/billing/books/2026-11-21.json"
NODE = "c7i.xlarge"


def assert_charged(body: dict[str, Any], vcpu_milli: int = VCPU_MILLI) -> None:
    """The charge, computed again: the node's price of what the pod requests, to the nanosecond."""
    busy_ns = round(body["usage"]["busy_ms"] * 1_000_000)
    with localcontext(prec=60):
        seconds = Decimal(busy_ns) / 1_000_000_000
        vcpu_usd = seconds * vcpu_milli / 1000 * _rate(f"knative.vcpu.{NODE}")
        memory_usd = seconds * MEMORY_MB / 1024 * _rate(f"knative.memory.{NODE}")
        expected_usd = vcpu_usd + memory_usd
    assert body["usage"]["memory_mb"] == MEMORY_MB
    assert Decimal(body["charge"]["total"]) == expected_usd > 0
    assert body["charge"]["basis"] == "measured"


def _rate(rule: str) -> Decimal:
    """The first tier's rate of the rule's only row for the region, from the book's JSON."""
    rows = json.loads(BOOK.read_text(encoding="utf-8"))["rows"]
    [row] = [row for row in rows if row["rule"] == rule and "us-east-1" in row["regions"]]
    return Decimal(row["tiers"][0]["rate"])
