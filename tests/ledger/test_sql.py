"""What is SQL's own: schema and revisions, opening at once, death at any moment, failure."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from farthing.billing.stores import open_store
from farthing.billing.tenants import Budget, Tenant
from farthing.errors import LedgerError, StoreUnavailable
from farthing.ledger.sql.database import open_database
from farthing.ledger.sql.schema import HEAD, VERSION_TABLE, metadata
from farthing.ledger.sql.upgrade import MIGRATIONS
from tests.functions.server import ROOT, refusing_port
from tests.ledger import postgresql
from tests.ledger.facts import NOON_MS, entry, record, root

if TYPE_CHECKING:
    from pathlib import Path

ALWAYS = 0, 2**62
KILLS = 8
GROUP = 40
RUN_S_MAX = 300


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    name = f"sql-{random.SystemRandom().getrandbits(64):x}"
    return postgresql.new_ledger(request.getfixturevalue("postgresql_url"), name)


def test_the_migrations_make_the_schema_that_the_code_uses(url: str) -> None:
    open_store(url).close()
    database = open_database(url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []
    database.close()


def test_the_newest_revision_is_the_one_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    revisions = [one.revision for one in script.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


def test_a_schema_of_a_later_version_is_refused(url: str) -> None:
    open_store(url).close()
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.close()
    with pytest.raises(LedgerError, match="9999, of a later Farthing"):
        open_store(url)


def test_a_failed_migration_leaves_nothing(url: str) -> None:
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE leases (id INTEGER)"))
    with pytest.raises(StoreUnavailable):
        open_store(url)
    with database.reading() as connection:
        assert not database_has(connection, "entries")
    with database.writing() as connection:
        connection.execute(text("DROP TABLE leases"))
    database.close()
    open_store(url).close()


def database_has(connection: object, table: str) -> bool:
    from sqlalchemy import inspect

    found = inspect(connection)
    assert found is not None
    return bool(found.has_table(table))


def test_processes_may_open_a_new_ledger_at_once(url: str) -> None:
    code = (
        "import sys\nfrom farthing.billing.stores import open_store\n"
        "from tests.ledger.facts import entry\n"
        "from tests.ledger.patience import patience\n"
        "with patience():\n"
        "    store = open_store(sys.argv[1])\n"
        "    store.append([entry(int(sys.argv[2]))])\n"
        "    store.close()"
    )
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, url, str(number)], cwd=ROOT)
        for number in range(1, 7)
    ]
    assert [one.wait(RUN_S_MAX) for one in running] == [0] * 6
    store = open_store(url)
    assert [one.number for one in store.entries(*ALWAYS)] == list(range(1, 7))
    store.close()


def test_opening_a_current_ledger_loads_no_alembic(url: str) -> None:
    open_store(url).close()
    code = (
        "import sys\nfrom farthing.billing.stores import open_store\n"
        "open_store(sys.argv[1]).close()\nsys.exit('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, url], timeout=RUN_S_MAX, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_a_group_that_was_acknowledged_survives_a_kill(tmp_path: Path, synchronous: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db?synchronous={synchronous}"
    chance = random.Random(synchronous)
    acknowledged, kept = 0, []
    for _ in range(KILLS):
        # It starts again from before what was told, as a spool that was not shortened would.
        first = max(1, acknowledged - GROUP + 1)
        command = [sys.executable, "-m", "tests.ledger.appender", url, str(first), str(GROUP)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 60)):
                acknowledged = max(acknowledged, int(process.stdout.readline()))
            process.kill()
            for line in process.stdout:
                if line.endswith("\n"):
                    acknowledged = max(acknowledged, int(line))
        store = open_store(url)
        kept = [one.number for one in store.entries(*ALWAYS)]
        store.close()
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= acknowledged
        assert len(kept) % GROUP == 0
    assert len(kept) > KILLS * GROUP
    file = tmp_path / "ledger.db"
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_synchronous_is_what_the_address_says(tmp_path: Path) -> None:
    for said, meant in (("", 1), ("?synchronous=normal", 1), ("?synchronous=FULL", 2)):
        database = open_database(f"sqlite:///{tmp_path}/ledger.db{said}")
        with database.reading() as connection:
            assert connection.scalar(text("PRAGMA synchronous")) == meant
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        database.close()


def test_a_group_that_fails_half_way_is_not_kept(url: str) -> None:
    store = open_store(url)

    def broken():
        yield from (entry(number) for number in range(1, 1_501))
        raise OSError("the spool ends here")

    with pytest.raises(OSError, match="spool"):
        store.append(broken())
    assert list(store.entries(*ALWAYS)) == []
    store.append([entry()])
    store.close()


def test_a_long_read_holds_a_page_and_not_the_ledger(url: str) -> None:
    store = open_store(url)
    store.append(entry(number, model="m" * 200) for number in range(1, 20_001))
    tracemalloc.start()
    count = sum(1 for _ in store.entries(*ALWAYS))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()
    assert count == 20_000
    assert peak_bytes < 5_000_000


def test_a_file_that_is_no_ledger_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(StoreUnavailable, match="SQLITE_NOTADB") as told:
        open_store(f"sqlite:///{tmp_path}/ledger.db")
    assert str(tmp_path) not in str(told.value)


def test_a_folder_that_cannot_be_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="folder"):
        open_store(f"sqlite:///{tmp_path}/file/below/ledger.db")


def test_a_server_that_is_not_there_is_told_without_its_address() -> None:
    with refusing_port() as port, pytest.raises(StoreUnavailable) as told:
        open_store(f"postgresql://clerk:secret@127.0.0.1:{port}/books")
    assert "secret" not in str(told.value)
    assert "127.0.0.1" not in str(told.value)
    assert "does not answer" in str(told.value)


def test_a_server_that_restarts_is_found_again() -> None:
    folder = postgresql.binaries()
    if folder is None:
        pytest.skip("NO POSTGRESQL: install the package `postgresql` to run what needs one")
    with postgresql.cluster(folder) as server:
        server.start()
        store = open_store(server.url)
        store.append([entry()])
        server.stop()
        server.start()
        store.append([entry(), entry(2)])
        server.stop()
        for ask in (
            lambda: store.append([entry(3)]),
            lambda: list(store.entries(*ALWAYS)),
            lambda: store.lease(
                "a", lease_id="x", want_pico=1, least_pico=1, now_ms=NOON_MS, ttl_ms=1
            ),
        ):
            with pytest.raises(StoreUnavailable):
                ask()
        server.start()
        assert list(store.entries(*ALWAYS)) == [entry(), entry(2)]
        store.append([entry(3)])
        store.close()


def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/ledger.db")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code = (
        "import sys\nfrom farthing.billing.stores import open_store\n"
        "from tests.ledger.facts import entry\n"
        "from tests.ledger.patience import patience\n"
        "with patience():\n"
        "    store = open_store(sys.argv[1])\n"
        "    print('open', flush=True)\n"
        "    store.append([entry()])\n"
        "    store.close()"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/ledger.db"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert list(store.entries(*ALWAYS)) == []
        assert process.poll() is None
        other.execute("COMMIT")
        assert process.wait(RUN_S_MAX) == 0
    assert list(store.entries(*ALWAYS)) == [entry()]
    other.close()
    store.close()


@pytest.mark.parametrize("table", ["entries", "records", "roots"])
def test_a_row_that_was_spoilt_is_told_not_thrown(tmp_path: Path, table: str) -> None:
    store = open_store(f"sqlite:///{tmp_path}/ledger.db")
    store.append([entry()])
    store.append_records([record()])
    store.append_root(root())
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(f"UPDATE {table} SET body = '{{'")
    connection.close()
    with pytest.raises(LedgerError, match="not what was written"):
        list(store.roots() if table == "roots" else getattr(store, table)(*ALWAYS))
    store.close()


def test_an_index_answers_every_read(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/ledger.db")
    store.append(entry(number) for number in range(1, 50))
    store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 5),)))
    store.close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for where, index in (("", "entries_by_time"), ("tenant = 'a' AND", "entries_by_tenant")):
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM entries WHERE {where} at_ms >= 1 AND at_ms < 9 AND "
            "(at_ms, writer, number) > (1, 'a', 2) ORDER BY at_ms, writer, number LIMIT 9"
        ).fetchall()
        assert len(plan) == 1
        assert index in plan[0][3]
    connection.close()
