"""Every answered invocation has exactly one entry, whatever happens to server, ledger and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.billing.stores import open_store
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from tests.functions.chaos import Chaos, locked

if TYPE_CHECKING:
    from pathlib import Path

INVOCATIONS = 500


def test_no_entry_is_lost_or_doubled_by_kills_outages_redelivery_and_clock_jumps(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ledger.db"
    store = open_store(f"sqlite:///{file}")
    store.put_tenant(Tenant(name="local", budgets=(Budget("month", PICO_PER_USD),)))
    store.close()
    chaos = Chaos(
        tmp_path, f"sqlite:///{file}", lambda: locked(file), invocations=INVOCATIONS, seed=7
    )
    report = chaos.run()
    assert report.kills
    assert report.answered
    assert len(set(report.answered)) == len(report.answered)
    assert (report.lost, report.doubled, report.gaps) == ([], [], 0)
