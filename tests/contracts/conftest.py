"""Every store that a ledger's address opens, one at a time and empty."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from farthing.billing.stores import open_store
from tests.ledger import dynamodb, postgresql
from tests.ledger.patience import patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farthing.billing.ledger import Store


@pytest.fixture(autouse=True, scope="module")
def patient_stores() -> Iterator[None]:
    with patience():
        yield


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[str]:
    with dynamodb.running() as endpoint:
        yield endpoint


STORES = ("memory", "sqlite", "postgresql", "dynamodb")
# Those that another process can open too.
SHARED = STORES[1:]
_numbers = itertools.count(1)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(address(request, tmp_path))
    yield opened
    opened.close()


@pytest.fixture(params=SHARED)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new store that several processes open."""
    return address(request, tmp_path)


def address(request: pytest.FixtureRequest, folder: Path) -> str:
    kind, name = request.param, f"ledger-{next(_numbers)}"
    if kind == "sqlite":
        return f"sqlite:///{folder / name}.db"
    if kind == "postgresql":
        return postgresql.new_ledger(request.getfixturevalue("postgresql_url"), name)
    if kind == "dynamodb":
        return dynamodb.new_table(request.getfixturevalue("dynamodb_server"), name)
    return "memory:"
