"""How many cores a process takes for its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from farthing.cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen cores, of which the process may be scheduled on eight."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("written", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("25000 100000\n", 1),
        ("3200000 100000\n", 8),
        ("max 100000\n", 8),
        ("", 8),
    ],
)
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, written: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(written)
    assert usable_cores(file) == cores


@pytest.mark.usefixtures("machine")
def test_without_a_container_it_is_what_the_scheduler_gives(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent") == 8
