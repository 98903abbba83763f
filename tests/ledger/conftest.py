"""Fixtures for every test of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ledger.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def patient_stores() -> Iterator[None]:
    with patience():
        yield
