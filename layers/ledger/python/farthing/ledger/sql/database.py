"""Connections to SQLite and PostgreSQL: how they are opened, written through, and fail."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from farthing.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine, Table

WAIT_S: Final = 10
SYNCHRONOUS: Final = {"NORMAL", "FULL"}
POSTGRESQL_ARGUMENTS: Final = {"connect_timeout": 3, "tcp_user_timeout": 5_000}


class Database:
    """An engine for each way of use: reads that commit at once, and writes in one transaction.

    SQLite has one writer at a time: threads take turns here, processes wait for its lock.
    """

    def __init__(self, engine: Engine) -> None:
        self.embedded = engine.dialect.name == "sqlite"
        self._engine = engine
        self._turn: AbstractContextManager[object] = Lock() if self.embedded else nullcontext()
        if self.embedded:
            # The driver commits by itself (see `_embedded`), so a plain read is its own snapshot.
            self._reader: Engine = engine
            self._writer: Engine = engine.execution_options()
            event.listen(self._writer, "begin", _begin_immediate)
        else:
            self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
            self._writer = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with answering(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: kept whole at the end of the block, or not at all."""
        with answering(), self._turn, self._writer.begin() as connection:
            yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which both databases spell the same."""
        return sqlite.insert(table) if self.embedded else postgresql.insert(table)

    def close(self) -> None:
        self._engine.dispose()


def open_database(url: str) -> Database:
    """The database at `sqlite:///FILE[?synchronous=FULL]` or `postgresql://…`.

    Raises `SettingsError` for an address that is none, `StoreUnavailable` where nothing answers.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "FARTHING_LEDGER is no database's address. Use sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME, with special characters percent-encoded."
        ) from None
    if address.get_backend_name() == "sqlite":
        return Database(_embedded(address))
    return Database(
        create_engine(
            address.set(drivername="postgresql+psycopg"),
            connect_args={**POSTGRESQL_ARGUMENTS, **address.query},
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=0,
            pool_timeout=WAIT_S,
            hide_parameters=True,
        )
    )


@contextmanager
def answering() -> Iterator[None]:
    """Turns what a driver raises into `StoreUnavailable`, which names no address."""
    try:
        yield
    except (DBAPIError, PoolExhausted) as error:
        cause = getattr(error, "orig", None) or error
        name = (
            getattr(cause, "sqlite_errorname", None)
            or getattr(cause, "sqlstate", None)
            or type(cause).__name__
        )
        raise StoreUnavailable(
            f"The ledger's database does not answer ({name}). See that it runs, that "
            "FARTHING_LEDGER names it, and that its user may write."
        ) from error


def _embedded(address: URL) -> Engine:
    """A file in WAL mode, which readers share with one writer across processes.

    A commit survives the death of the process in both modes; FULL also waits for the disk, so
    that it survives a loss of power.
    """
    synchronous = str(address.query.get("synchronous", "NORMAL")).upper()
    if synchronous not in SYNCHRONOUS or address.database in (None, "", ":memory:"):
        raise SettingsError(
            "FARTHING_LEDGER names no SQLite ledger. Use sqlite:///FILE, with "
            "?synchronous=FULL to survive a loss of power too, or memory: to keep nothing."
        )
    try:
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"The ledger's folder cannot be made ({error.strerror}). Name another in "
            "FARTHING_LEDGER."
        ) from error
    engine = create_engine(
        address.difference_update_query(["synchronous"]),
        connect_args={"timeout": WAIT_S, "isolation_level": None},
        pool_size=10,
        pool_timeout=WAIT_S,
        hide_parameters=True,
    )

    def prepare(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")

    event.listen(engine, "connect", prepare)
    _use_wal(engine)
    return engine


def _use_wal(engine: Engine) -> None:
    """Sets the file's journal mode, which it keeps. Two processes that set it at once do not
    wait for each other as writers do, so the one refused asks again."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            with answering(), engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
        except StoreUnavailable as error:
            busy = isinstance(error.__cause__, OperationalError) and "BUSY" in str(error)
            if not busy or time.monotonic() > until_s:
                engine.dispose()
                raise
        time.sleep(0.01)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
