"""Stores that wait a minute where they would give up within seconds: machines that test stall.

What stands for DynamoDB is one process of Python besides, which queues hundreds for seconds.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from farthing.billing.stores import aws
from farthing.billing.stores.dynamodb import table
from farthing.ledger.sql import database

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60
BOUNDS: tuple[tuple[Any, str, Any], ...] = (
    (aws, "CONNECT_S_MAX", PATIENCE_S),
    (aws, "READ_S_MAX", PATIENCE_S),
    (table, "CONTENTION_S_MAX", PATIENCE_S),
    (database, "WAIT_S", PATIENCE_S),
    (
        database,
        "POSTGRESQL_ARGUMENTS",
        {**database.POSTGRESQL_ARGUMENTS, "connect_timeout": PATIENCE_S},
    ),
)


@contextmanager
def patience() -> Iterator[None]:
    """For stores that are opened meanwhile."""
    before = [getattr(module, name) for module, name, _ in BOUNDS]
    for module, name, bound in BOUNDS:
        setattr(module, name, bound)
    try:
        yield
    finally:
        for (module, name, _), bound in zip(BOUNDS, before, strict=True):
            setattr(module, name, bound)
