"""A job whose workers and whose parent are killed again and again, beside one that is left alone.

What came out is compared byte by byte, and counted by plain means: lines of files, rows of the
ledger's own table.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FARTHING = Path(sys.executable).with_name("farthing")
POLL_S = 0.02
# A job that is started so often does not end at all.
STARTS_MAX = 100


def clean_environ(**environ: str) -> dict[str, str]:
    """This process's environment without any setting of Farthing's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING_")}
    return {**kept, "COLUMNS": "140", **environ}


def write_rows(file: Path, titles: Sequence[str], rows: int) -> None:
    """`rows` titles with ids of their own, as a TSV file."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        lines.write("id\ttitle\n")
        lines.writelines(f"r{row}\t{titles[row % len(titles)]}\n" for row in range(rows))


@dataclass
class Job:
    """One job on this machine: where it comes from and goes to, and how it is called."""

    file: Path
    out: Path
    ledger: Path
    models: Path
    shard_rows: int
    workers: int = 2
    kills: dict[str, int] = field(default_factory=lambda: {"worker": 0, "parent": 0})

    @property
    def command(self) -> list[str]:
        return [
            *(str(FARTHING), "batch", "run", str(self.file)),
            *("--task", "classify", "--id", "id", "--text", "title"),
            *("--out", str(self.out), "--format", "jsonl", "--engine", "local"),
            *("--workers", str(self.workers), "--shard-rows", str(self.shard_rows)),
            *("--ledger", f"sqlite:///{self.ledger}", "--models", str(self.models), "--json"),
        ]

    @property
    def resume(self) -> list[str]:
        return [
            *(str(FARTHING), "batch", "resume", str(self.out), "--workers", str(self.workers)),
            *("--ledger", f"sqlite:///{self.ledger}", "--models", str(self.models), "--json"),
        ]

    def run(self) -> None:
        """Runs it, left alone. Raises `CalledProcessError` where it does not succeed."""
        subprocess.run(
            self.command, env=clean_environ(), check=True, capture_output=True, timeout=3600
        )

    def run_under_fire(self, shots: int, seed: int, pause_s: tuple[float, float]) -> None:
        """Runs it while its processes are killed at random, `shots` times; every third shot hits
        the parent, and a parent that ended is started again with `resume`.

        Where the job ends before the last shot, which came too late then, all begins anew.
        """
        choose = random.Random(seed)
        command = self.command
        for _ in range(STARTS_MAX):
            with subprocess.Popen(
                command,
                env=clean_environ(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as parent:
                while sum(self.kills.values()) < shots and parent.poll() is None:
                    time.sleep(choose.uniform(*pause_s))
                    self._shoot(parent, choose)
                code = parent.wait()
            if code == 0 and sum(self.kills.values()) == shots:
                return
            if code == 0:
                self._forget()
            # Before there is a plan, there is nothing to resume.
            planned = (self.out / "_farthing" / "plan.json").is_file()
            command = self.resume if planned else self.command
        raise RuntimeError(f"The job was started {STARTS_MAX} times, and did not end under fire.")

    def _forget(self) -> None:
        shutil.rmtree(self.out)
        for file in self.ledger.parent.glob(f"{self.ledger.name}*"):
            file.unlink()
        self.kills = dict.fromkeys(self.kills, 0)

    def _shoot(self, parent: subprocess.Popen[bytes], choose: random.Random) -> None:
        workers = _children(parent.pid)
        if not workers or not self._is_under_way():
            time.sleep(POLL_S)
            return
        at_parent = sum(self.kills.values()) % 3 == 2
        target = parent.pid if at_parent else choose.choice(workers)
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills["parent" if at_parent else "worker"] += 1
        if at_parent:
            parent.wait()

    def _is_under_way(self) -> bool:
        """Some of it is done, and not all: a kill before would only start it later."""
        return not (self.out / "manifest.json").is_file() and any(
            (self.out / "_farthing" / "done").glob("*.json")
        )

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "manifest.json").read_bytes())
        return found

    def parts(self) -> dict[str, bytes]:
        """The output's files, but for what tells of times."""
        names = (*self.out.glob("part-*"), *self.out.glob("rejected-*"))
        return {file.name: file.read_bytes() for file in sorted(names)}

    def ids(self) -> list[str]:
        """The ids in the output, in their order."""
        lines = b"".join(self.parts().values()).splitlines()
        return [json.loads(line)["id"] for line in lines]

    def booked(self) -> list[dict[str, Any]]:
        """The ledger's entries of the job's shards, by number, read with SQL."""
        with closing(sqlite3.connect(self.ledger)) as database:
            rows = database.execute(
                "SELECT body FROM entries WHERE writer LIKE 'batch-%' ORDER BY writer, number"
            ).fetchall()
        return [json.loads(body) for (body,) in rows]


def lambda_usd(entry: dict[str, Any]) -> Fraction:
    """What Lambda takes for an entry on x86 in us-east-1, by whole numbers and its two prices:
    0.20 USD for a million requests, 0.0000166667 USD for a second of 1 GB; each started
    millisecond counts, and its runtime takes some time of its own around the handler.
    """
    usage, tariff = entry["usage"], entry["tariff"]
    busy_ns = usage["busy_ns"] + tariff["overhead_ns"]
    mb_ms = usage["memory_mb"] * -(-busy_ns // 1_000_000)
    return Fraction(20, 100 * 10**6) + Fraction(166_667, 10**10) * mb_ms / (1024 * 1000)


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def total_of(amounts: Iterable[str]) -> Fraction:
    """The sum of decimal strings, exactly."""
    return sum((Fraction(amount) for amount in amounts), Fraction(0))
