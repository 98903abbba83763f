"""A real PostgreSQL of the tests' own: a new cluster, a free port on loopback, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.functions.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "postgres"
# Bounds for a machine that is busy with other things; nothing here measures speed.
START_S_MAX = 120
STOP_S_MAX = 60


def binaries() -> Path | None:
    """The folder that holds `initdb`, which Debian keeps off the path; None where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


class Cluster:
    """A server that can be stopped and started; what it keeps stays. `fsync` is on.

    It refuses to run as root, so root lends it the account `postgres`.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder, self._home, self._port = folder, home, free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._user = USER if os.geteuid() == 0 else None
        self.url = f"postgresql+psycopg://{USER}@127.0.0.1:{self._port}/postgres"
        if self._user:
            shutil.chown(home, self._user)
        options = ("-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", *_english(folder))
        if self._run("initdb", *options).wait(START_S_MAX):
            raise RuntimeError(self._told())

    def start(self) -> None:
        """Returns once it answers."""
        options = (f"port={self._port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        self._server = self._run("postgres", *(part for one in options for part in ("-c", one)))
        until_s = time.monotonic() + START_S_MAX
        while True:
            try:
                psycopg.connect(_plain(self.url), connect_timeout=10).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > until_s:
                    raise RuntimeError(self._told()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown waits for no client.
        try:
            self._server.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._home / "log").open("ab") as log:
            return subprocess.Popen(
                [self._folder / program, "-D", self._home / "data", *arguments],
                user=self._user,
                cwd=self._home,
                stdout=log,
                stderr=log,
            )

    def _told(self) -> str:
        return (self._home / "log").read_text(errors="replace")


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A new cluster, not yet started; stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="farthing-postgresql-"))
    try:
        made = Cluster(folder, home)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server's first database."""
    with cluster(folder) as server:
        server.start()
        yield server.url


def new_ledger(server: str, name: str) -> str:
    """The address of an empty schema on the server; a database of its own would cost 300 files."""
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{server}?options=-csearch_path%3D{name}"


def _english(folder: Path) -> tuple[str, ...]:
    """An order of text that is not by code point, as most servers have; since version 15."""
    told = subprocess.run([folder / "initdb", "--help"], capture_output=True, text=True, check=True)
    return ("--locale-provider=icu", "--icu-locale=en") * ("--icu-locale" in told.stdout)


def _plain(address: str) -> str:
    return address.replace("+psycopg", "")
