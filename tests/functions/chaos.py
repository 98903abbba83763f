"""A server that is killed again and again while it answers, its ledger stopped, its clock set.

What clients were answered is held against what the ledger has in the end. Nothing of this counts
by our own means: answers are counted where they arrive, entries where they were kept.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.functions.books import entries_of
from tests.functions.server import LOOPBACK, REQUEST_S, Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

CALLERS = 6
REDELIVERIES = 3
KILL_AFTER_S = (0.1, 1.5)
OUTAGE_S = (0.5, 2.5)
REFUSED_PAUSE_S = 0.1
LOCK_S_MAX = 120
LAST_SERVERS_MAX = 20
TITLES = ["bosch fridge freezer", "canon eos 250d", "intel core i7 8700k", "samsung galaxy s9"]


@dataclass
class Report:
    """What was done to the server, and what came of it."""

    answered: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    cut_off: int = 0
    kills: int = 0
    outages: int = 0
    redelivered: int = 0
    entries: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    gaps: int = 0

    @property
    def invocations(self) -> int:
        return len(self.answered) + self.refused.total() + self.cut_off


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """While it lasts, nobody else writes to a SQLite file."""
    with closing(sqlite3.connect(file, timeout=LOCK_S_MAX, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


class Chaos:
    """`outage` is a context in which the ledger's store does not work."""

    def __init__(
        self,
        folder: Path,
        ledger: str,
        outage: Callable[[], AbstractContextManager[None]],
        *,
        invocations: int,
        seed: int,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._outage = outage
        self._invocations = invocations
        self._chance = random.Random(seed)
        self._port = free_port()
        # Where `serve` puts it, and where it is told to.
        self._spool = folder / "farthing" / "spool"
        self._over = threading.Event()
        self._counting = threading.Lock()
        self.report = Report()

    def run(self) -> Report:
        """Ends after so many invocations, once a last server has been stopped in good order."""
        callers = [threading.Thread(target=self._call, args=(one,)) for one in range(CALLERS)]
        breaker = threading.Thread(target=self._break_the_store)
        for thread in (*callers, breaker):
            thread.start()
        try:
            while not self._over.is_set():
                server = self._start().wait_until_ready()
                self._over.wait(self._chance.uniform(*KILL_AFTER_S))
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                server.stop()
                self.report.kills += 1
                self._redeliver()
        finally:
            self._over.set()
            for thread in (*callers, breaker):
                thread.join()
        # Each sends for a few seconds as it stops, and leaves the rest to the next.
        for _ in range(LAST_SERVERS_MAX):
            self._start().wait_until_ready().stop()
            if not any(self._spool.iterdir()):
                break
        self._compare()
        return self.report

    def _start(self) -> Server:
        command = [sys.executable, "-m", "tests.functions.skewed", str(self._chance.random())]
        options = ["serve", "--port", str(self._port), "--model", "product-classifier"]
        environ = {
            "FARTHING_LEDGER": self._ledger,
            "FARTHING_SPOOL": str(self._spool),
            "XDG_STATE_HOME": str(self._folder),
        }
        log = self._folder / f"server-{self.report.kills}.log"
        return Server([*command, *options], environ, self._port, log)

    def _call(self, caller: int) -> None:
        report = self.report
        client = httpx.Client(base_url=f"http://{LOOPBACK}:{self._port}", trust_env=False)
        with client:
            while not self._over.is_set():
                try:
                    answer = client.post(
                        "/v1/classify",
                        json={"inputs": TITLES[caller % len(TITLES)]},
                        timeout=REQUEST_S,
                    )
                except httpx.ConnectError:
                    time.sleep(0.02)
                    continue
                except httpx.TransportError:
                    answer = None
                with self._counting:
                    if answer is None:
                        report.cut_off += 1
                    elif answer.status_code == 200:
                        report.answered.append(answer.headers["x-request-id"])
                    else:
                        report.refused[answer.status_code] += 1
                    if report.invocations >= self._invocations:
                        self._over.set()
                if answer is not None and answer.status_code != 200:
                    time.sleep(REFUSED_PAUSE_S)

    def _break_the_store(self) -> None:
        chance = random.Random(self._chance.random())
        while not self._over.wait(chance.uniform(*OUTAGE_S)):
            with self._outage():
                self.report.outages += 1
                self._over.wait(chance.uniform(*OUTAGE_S))

    def _redeliver(self) -> None:
        """Has what the killed server left delivered three times in all."""
        for file in self._spool.glob("*.spool"):
            if "copy" not in file.name:
                for copy in range(1, REDELIVERIES):
                    shutil.copy2(file, file.with_name(f"{file.stem}-copy{copy}.spool"))
                    self.report.redelivered += 1

    def _compare(self) -> None:
        left = [file.name for file in self._spool.iterdir()]
        assert not left, f"the spool still has {left}"
        entries = entries_of(self._ledger, self._spool)
        report = self.report
        report.entries = len(entries)
        sold = Counter(entry.request_id for entry in entries if entry.kind == "answer")
        report.lost = [one for one in report.answered if not sold[one]]
        report.doubled = [one for one, count in sold.items() if count > 1]
        numbers = defaultdict(set)
        for entry in entries:
            numbers[entry.writer].add(entry.number)
        report.gaps = sum(max(found) - len(found) for found in numbers.values())
