"""Leases over every store that processes share: exact to the last call, whoever is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from farthing.billing.leases import Leases
from farthing.billing.stores import open_store
from farthing.billing.tenants import Budget, Tenant
from farthing.errors import BudgetSpent
from tests.contracts.callers import CALL, CALL_PICO
from tests.functions.server import ROOT
from tests.ledger.facts import NOON_MS

PROCESSES = 4
THREADS = 50
CALLS = 100
TIMEOUT_S = 600
EXPIRED_MS = 400_000


def start(url: str, threads: int, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contracts.callers", url, "shop", str(threads), mode]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen[str]) -> dict[str, list[str]]:
    printed, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode in {0, -signal.SIGKILL}, complaint
    told: dict[str, Any] = json.loads(printed)
    assert not told["errors"]
    return told


def test_two_hundred_callers_in_four_processes_get_a_budgets_hundred_calls(
    shared_url: str,
) -> None:
    store = open_store(shared_url)
    # A little more than a hundred calls: the rest is less than one.
    store.put_tenant(
        Tenant(name="shop", budgets=(Budget("month", CALLS * CALL_PICO + CALL_PICO // 2),))
    )
    told = [
        end(process) for process in [start(shared_url, THREADS, "calls") for _ in range(PROCESSES)]
    ]
    assert sum(len(one["admitted"]) for one in told) == CALLS
    assert sum(len(one["refused"]) for one in told) == PROCESSES * THREADS
    assert all(Decimal(left) < CALL for one in told for left in one["refused"])
    (counter,) = store.free("shop", NOON_MS).values()
    assert counter[:2] == (CALL_PICO // 2, 0)
    assert not store.expired(NOON_MS + EXPIRED_MS)
    store.close()


def test_what_a_killed_process_held_comes_back_once_its_leases_have_expired(
    shared_url: str,
) -> None:
    store = open_store(shared_url)
    store.put_tenant(Tenant(name="shop", budgets=(Budget("month", 1_000 * CALL_PICO),)))
    spent = Counter(end(start(shared_url, 3, "crash"))["admitted"])
    assert not store.expired(NOON_MS)
    left_open = store.expired(NOON_MS + EXPIRED_MS)
    assert left_open
    for lease in left_open:
        assert store.settle_lease(lease.id, spent[lease.id] * CALL_PICO)
    (counter,) = store.free("shop", NOON_MS).values()
    assert counter[:2] == ((1_000 - sum(spent.values())) * CALL_PICO, 0)
    survivor = Leases(store, clock_ms=lambda: NOON_MS)
    for _ in range(1_000 - sum(spent.values())):
        survivor.admit("shop", CALL).settle(CALL)
    with pytest.raises(BudgetSpent):
        survivor.admit("shop", CALL)
    store.close()
