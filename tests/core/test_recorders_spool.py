"""The spool: what was recorded reaches the ledger once, whoever dies in between."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.ledger import Entry
from farthing.billing.recorders import open_recorder, segment, spool
from farthing.billing.recorders.segment import Segment
from farthing.billing.recorders.spool import SpoolRecorder
from farthing.billing.stores.memory import MemoryStore
from farthing.billing.tariff import Tariff
from farthing.errors import SettingsError, StoreUnavailable
from farthing.settings import read_settings
from farthing.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

EVER_MS = 2**60
# Bounds for a machine that is busy with other things; nothing here measures speed.
WAIT_S = 60
RUN_S = 120


class Ledger(MemoryStore):
    """The real store; it can be down or slow, and remembers how large each group was."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()
        self.fault: Exception | None = None
        self.groups: list[int] = []

    def append(self, entries: Iterable[Entry], /) -> None:
        self.asked.set()
        self.answers.wait(WAIT_S)
        if self.is_down:
            raise StoreUnavailable("down")
        if self.fault is not None:
            raise self.fault
        group = list(entries)
        super().append(group)
        self.groups.append(len(group))

    @property
    def keys(self) -> list[tuple[str, int]]:
        return [entry.key for entry in self.entries(0, EVER_MS)]


def fields(index: int = 0) -> dict[str, Any]:
    return {
        "function": "embed",
        "request_id": f"r-{index}",
        "at_ms": 1_795_305_600_000 + index,
        "tenant": "shop",
        "kind": "answer",
        "usage": Usage(12, 0, 1_503_221, 0, 1024, 578, 512, False),
        "tariff": Tariff("knative", "us-east-1", "x86_64"),
    }


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def closing_waits() -> Iterator[None]:
    """A recorder that closes hands over all that it has, however slow the machine is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool, "CLOSE_S", WAIT_S)
        yield


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def recorder(folder: Path, ledger: Ledger) -> Iterator[SpoolRecorder]:
    found = SpoolRecorder(folder, 1, ledger)
    yield found
    found.close()


def test_entries_reach_the_ledger_within_a_moment_and_leave_no_file(
    recorder: SpoolRecorder, ledger: Ledger, folder: Path
) -> None:
    ledger.is_down = True
    for index in range(10):
        recorder.record(**fields(index))
    assert list(folder.iterdir())
    ledger.is_down = False
    wait_until(lambda: len(ledger.keys) == 10)
    wait_until(lambda: not list(folder.iterdir()))
    assert [number for _, number in ledger.keys] == list(range(1, 11))
    (first, *_) = ledger.entries(0, EVER_MS)
    assert first == Entry(writer=first.writer, number=1, **fields(0))


def test_what_was_done_twice_under_one_name_is_kept_once(
    recorder: SpoolRecorder, ledger: Ledger
) -> None:
    recorder.record(key=("batch-7", 3), **fields(1))
    recorder.record(**fields(2))
    recorder.record(key=("batch-7", 3), **fields(1))
    recorder.close()
    kept = [entry.key for entry in ledger.entries(0, EVER_MS)]
    assert len(kept) == 2
    assert ("batch-7", 3) in kept


def test_full_groups_go_at_once_and_closing_sends_the_rest(
    recorder: SpoolRecorder, ledger: Ledger, folder: Path
) -> None:
    ledger.answers.clear()
    recorder.record(**fields(0))
    assert ledger.asked.wait(WAIT_S)
    # While the first group is under way, only its size ends another.
    for index in range(1, 1_235):
        recorder.record(**fields(index))
    ledger.answers.set()
    recorder.close()
    assert ledger.groups == [1, 500, 500, 234]
    assert len(set(ledger.keys)) == 1_235
    assert not list(folder.iterdir())


def test_what_is_recorded_after_closing_goes_with_the_next_closing(
    recorder: SpoolRecorder, ledger: Ledger, folder: Path
) -> None:
    for index in range(3):
        recorder.record(**fields(index))
        recorder.close()
        assert len(ledger.keys) == index + 1
    assert not list(folder.iterdir())


def test_only_this_user_reads_the_spool(
    recorder: SpoolRecorder, ledger: Ledger, folder: Path
) -> None:
    ledger.is_down = True
    recorder.record(**fields())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_while_the_ledger_is_down_entries_wait_and_then_all_go(
    recorder: SpoolRecorder, ledger: Ledger, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.is_down = True
    for index in range(700):
        recorder.record(**fields(index))
    wait_until(lambda: bool(caplog.records))
    time.sleep(0.7)
    assert len(caplog.records) == 1
    assert not ledger.keys
    ledger.is_down = False
    wait_until(lambda: len(ledger.keys) == 700)
    wait_until(lambda: not list(folder.iterdir()))


def test_a_driver_that_fails_oddly_stops_nothing(
    recorder: SpoolRecorder, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.fault = RuntimeError("postgresql://user:secret@host")
    recorder.record(**fields())
    wait_until(lambda: bool(caplog.records))
    ledger.fault = None
    wait_until(lambda: len(ledger.keys) == 1)
    assert "secret" not in caplog.text


def test_a_spool_of_its_size_is_full_until_the_ledger_has_it(
    recorder: SpoolRecorder, ledger: Ledger
) -> None:
    ledger.is_down = True
    index = 0
    while not recorder.is_full:
        recorder.record(**fields(index))
        index += 1
    assert 1_000 < index < 3_000
    ledger.is_down = False
    wait_until(lambda: not recorder.is_full)
    wait_until(lambda: len(ledger.keys) == index)


def test_a_full_disk_keeps_entries_in_memory_and_asks_for_no_more_work(
    recorder: SpoolRecorder, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    room_bytes = 1_000

    def write_until_full(descriptor: int, data: bytes) -> int:
        nonlocal room_bytes
        if not room_bytes:
            raise OSError(errno.ENOSPC, "no space left")
        written = write(descriptor, data[:room_bytes])
        room_bytes -= written
        return written

    monkeypatch.setattr(segment.os, "write", write_until_full)
    for index in range(5):
        recorder.record(**fields(index))
    assert recorder.is_full
    monkeypatch.undo()
    recorder.record(**fields(5))
    assert not recorder.is_full
    recorder.close()
    assert [number for _, number in ledger.keys] == [1, 2, 3, 4, 5, 6]


def test_closing_does_not_wait_for_a_ledger_that_is_gone(
    folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "CLOSE_S", 0.3)
    hanging = threading.Event()
    monkeypatch.setattr(ledger, "append", lambda _: hanging.wait(WAIT_S))
    first = SpoolRecorder(folder, 1, ledger)
    first.record(**fields())
    started_s = time.monotonic()
    first.close()
    assert time.monotonic() - started_s < WAIT_S / 2
    monkeypatch.undo()
    second = SpoolRecorder(folder, 1, ledger)
    wait_until(lambda: len(ledger.keys) == 1)
    second.close()
    hanging.set()


def test_what_a_killed_process_left_is_sent_by_the_next(folder: Path, ledger: Ledger) -> None:
    killed = run_python(
        "from tests.core.test_recorders_spool import *\n"
        "ledger = Ledger()\n"
        "ledger.is_down = True\n"
        f"recorder = SpoolRecorder(__import__('pathlib').Path({str(folder)!r}), 1, ledger)\n"
        "[recorder.record(**fields(index)) for index in range(700)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert killed.returncode == -signal.SIGKILL
    torn = max(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    with torn.open("ab") as file:
        file.write(b'0a1b2c3d {"writer":"')
    recorder = SpoolRecorder(folder, 1, ledger)
    wait_until(lambda: len(ledger.keys) == 700)
    wait_until(lambda: not list(folder.iterdir()))
    recorder.close()
    assert len({writer for writer, _ in ledger.keys}) == 1


def test_live_processes_leave_each_others_segments_alone(folder: Path, ledger: Ledger) -> None:
    ledger.is_down = True
    first = SpoolRecorder(folder, 1, ledger)
    first.record(**fields())
    other = Ledger()
    second = SpoolRecorder(folder, 1, other)
    second.adopt()
    second.close()
    assert not other.keys
    ledger.is_down = False
    first.close()
    assert len(ledger.keys) == 1


def test_a_damaged_line_is_set_aside_and_its_neighbours_are_sent(
    folder: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    file = folder / "0123456789abcdef-1.spool"
    orphan = Segment.create(file)
    assert orphan is not None
    for number in (1, 2, 3):
        entry = Entry(writer="0123456789abcdef", number=number, **fields())
        orphan.append(spool.msgspec.json.encode(entry))
    orphan.let_go()
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b'"number":2', b'"number":9'))
    recorder = SpoolRecorder(folder, 1, ledger)
    wait_until(lambda: len(ledger.keys) == 2)
    recorder.close()
    assert [number for _, number in ledger.keys] == [1, 3]
    assert [file.name for file in folder.iterdir()] == ["0123456789abcdef-1.damaged"]
    assert "1 lines of a spool are damaged" in caplog.text


def test_a_fork_is_another_writer_and_sends_only_its_own(folder: Path) -> None:
    done = run_python(
        "from tests.core.test_recorders_spool import *\n"
        "spool.CLOSE_S = WAIT_S\n"
        "ledger = Ledger()\n"
        # A ledger that had the first entry before the fork would be copied with it.
        "ledger.is_down = True\n"
        f"recorder = SpoolRecorder(__import__('pathlib').Path({str(folder)!r}), 1, ledger)\n"
        "recorder.record(**fields(0))\n"
        "child = os.fork()\n"
        "ledger.is_down = False\n"
        "recorder.record(**fields(1))\n"
        "recorder.record(**fields(2))\n"
        "recorder.close()\n"
        # By one write, so that the two processes' lines stay whole.
        "told = f'{len(ledger.keys)} {sorted(number for _, number in ledger.keys)}\\n'\n"
        "os.write(1, told.encode())\n"
        "child and os.waitpid(child, 0)\n"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["2 [1, 2]", "3 [1, 2, 3]"]
    assert not list(folder.iterdir())


def test_adopters_of_empty_segments_cost_no_entry_and_nobody_waits(
    folder: Path, ledger: Ledger
) -> None:
    other = SpoolRecorder(folder, 1, Ledger())
    over = threading.Event()

    def adopt_again_and_again() -> None:
        while not over.is_set():
            other.adopt()

    adopting = threading.Thread(target=adopt_again_and_again)
    adopting.start()
    for _ in range(150):
        recorder = SpoolRecorder(folder, 1, ledger)
        recorder.record(**fields())
        recorder.close()
    over.set()
    adopting.join(WAIT_S)
    other.close()
    assert len(ledger.keys) + len(other._ledger.keys) == 150
    assert not list(folder.iterdir())


@pytest.mark.parametrize("adopter_unlinks", [True, False])
def test_a_segment_that_an_adopter_locked_first_is_left_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, adopter_unlinks: bool
) -> None:
    folder.mkdir()
    lock = segment.fcntl.flock
    adopted = []

    def lock_second(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        if adopter_unlinks:
            assert Segment.adopt(folder / "a-1.spool") is None
        else:
            adopted.append(os.open(folder / "a-1.spool", os.O_RDWR))
            lock(adopted[0], operation)
        lock(descriptor, operation)

    monkeypatch.setattr(segment.fcntl, "flock", lock_second)
    assert Segment.create(folder / "a-1.spool") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_refused(folder: Path, ledger: Ledger) -> None:
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(SettingsError, match="FARTHING_SPOOL"):
        SpoolRecorder(folder, 1, ledger)


def test_a_file_where_the_folder_should_be_is_refused(folder: Path, ledger: Ledger) -> None:
    folder.touch()
    with pytest.raises(SettingsError, match="FARTHING_SPOOL"):
        SpoolRecorder(folder, 1, ledger)


def test_settings_name_the_spool_and_a_spool_needs_a_ledger(folder: Path, ledger: Ledger) -> None:
    settings = read_settings(
        {"FARTHING_RECORDER": "spool", "FARTHING_SPOOL": str(folder), "FARTHING_SPOOL_MAX_MB": "2"}
    )
    recorder = open_recorder(settings, ledger)
    recorder.record(**fields())
    recorder.close()
    assert len(ledger.keys) == 1
    with pytest.raises(SettingsError, match="FARTHING_LEDGER"):
        open_recorder(settings)


def test_a_spool_with_nothing_to_send_asks_the_ledger_nothing(folder: Path) -> None:
    done = run_python(
        "from tests.core.test_recorders_spool import *\n"
        "from farthing.billing.recorders.spool import SpoolRecorder\n"
        f"recorder = SpoolRecorder(__import__('pathlib').Path({str(folder)!r}), 1, None)\n"
        "time.sleep(0.8)\n"
        "recorder.close()\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=RUN_S, check=False
    )
