"""A ledger in SQL: SQLite in one file, or PostgreSQL; the same tables and statements for both."""

from __future__ import annotations

from farthing.ledger.sql.budgets import SqlBudgets
from farthing.ledger.sql.database import Database, open_database
from farthing.ledger.sql.entries import SqlLedger
from farthing.ledger.sql.upgrade import upgrade


def open_store(url: str) -> SqlStore:
    """The store at `sqlite:///FILE[?synchronous=FULL]` or `postgresql://…`, its schema current.

    Raises `SettingsError`, `StoreUnavailable`, or `LedgerError` for a later Farthing's schema.
    """
    database = open_database(url)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return SqlStore(database)


class SqlStore(SqlLedger, SqlBudgets):
    """Both halves on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        self._database.close()
