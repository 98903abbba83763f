"""Brings a database to the newest schema; Alembic is imported only where there is work to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from farthing.errors import LedgerError
from farthing.ledger.sql.schema import HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from farthing.ledger.sql.database import Database

MIGRATIONS = Path(__file__).parents[1] / "migrations"
# Any number that all Farthing processes agree on and nothing else in that database uses.
ADVISORY_LOCK = 0x666172746869


def upgrade(database: Database) -> None:
    """Runs the revisions that a database lacks; of several processes one does, the others wait.

    Raises `LedgerError` for a schema that a later Farthing made.
    """
    with database.reading() as connection:
        if _revision(connection) == HEAD:
            return
    with database.writing() as connection:
        if not database.embedded:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        revision = _revision(connection)
        if revision > HEAD:
            raise LedgerError(
                f"The ledger's schema has revision {revision}, of a later Farthing; this one knows "
                f"{HEAD}. Install the later one, or name another ledger."
            )
        if revision < HEAD:
            run_migrations(connection, HEAD)


def run_migrations(connection: Connection, revision: str) -> None:
    """Runs the migrations up to a revision, in the connection's own transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


def _revision(connection: Connection) -> str:
    """What the database says of itself; "" for an empty one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or ""  # noqa: S608
