"""Lines: what is written is read back, whatever a log does to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.billing.ledger import Entry
from farthing.billing.recorders import NoRecorder, line, open_recorder
from farthing.billing.recorders.line import LineRecorder, Unread, read_lines
from farthing.billing.tariff import Tariff
from farthing.settings import read_settings
from farthing.usage import Usage

if TYPE_CHECKING:
    import random

AT_MS = 1_795_305_600_123
LAMBDA_ID = "8f507cfc-8cc4-4d2b-9a4c-6f0a1c6d7e{:02x}"


class Log:
    """Keeps what is written to it; it can refuse, or take only a part at a time."""

    def __init__(self) -> None:
        self.text = b""
        self.is_broken = False
        self.takes_bytes = 10_000

    def write(self, data: bytes) -> int:
        if self.is_broken:
            raise BrokenPipeError
        self.text += data[: self.takes_bytes]
        return min(len(data), self.takes_bytes)

    @property
    def lines(self) -> list[str]:
        return self.text.decode().splitlines(keepends=True)


def fields(index: int = 0, **other: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 12, "truncated": 0, "busy_ns": 1_503_221, "init_ns": 0}
    size = {"memory_mb": 1024, "vcpu_milli": 578, "disk_mb": 512, "cold": False}
    return {
        "function": "classify",
        "request_id": LAMBDA_ID.format(index % 256),
        "at_ms": AT_MS + index,
        "tenant": "shop",
        "kind": "answer",
        "task": "classify",
        "model": "product-classifier",
        "lease": "0123456789abcdef0123",
        "usage": Usage(**(usage | size)),
        "tariff": Tariff("lambda", "us-east-1", "x86_64"),
    } | other


def recorded(count: int, **other: Any) -> tuple[Log, list[Entry]]:
    log = Log()
    recorder = LineRecorder(log.write)
    given_fields = [fields(index, **other) for index in range(count)]
    for one in given_fields:
        recorder.record(**one)
    (writer,) = {json.loads(text.partition(" ")[2])[0] for text in log.lines}
    return log, [Entry(writer=writer, number=at, **one) for at, one in enumerate(given_fields, 1)]


names = st.from_regex(r"^[a-z0-9][a-z0-9_-]{0,10}$", fullmatch=True)
small = st.integers(0, 2**40)
usages = st.builds(
    Usage,
    prompt_tokens=small,
    truncated=st.integers(0, 3),
    busy_ns=small,
    init_ns=st.sampled_from([0, 0, 180_000_000]),
    memory_mb=st.sampled_from([128, 1024]),
    vcpu_milli=st.integers(1, 4000),
    disk_mb=st.sampled_from([512, 1024]),
    cold=st.booleans(),
    restored=st.booleans(),
    cache=st.sampled_from(["hit", "miss", "off"]),
    cached_tokens=st.one_of(st.just(0), small),
)
tariffs = st.builds(
    Tariff,
    platform=st.sampled_from(["lambda", "fc", "knative"]),
    region=names,
    arch=st.sampled_from(["x86_64", "arm64"]),
    singly=st.booleans(),
)
entries = st.fixed_dictionaries(
    {
        "function": names,
        "request_id": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        "at_ms": st.integers(0, 2**45),
        "tenant": names,
        "kind": st.sampled_from(["answer", "refusal", "idle"]),
        "task": names,
        "model": names,
        "status": st.sampled_from([200, 402, 503]),
        "plan": st.sampled_from(["", "gold@01234567"]),
        "lease": st.sampled_from(["", "aa", "bb"]),
        "unleased": st.booleans(),
        "price_max_pico": st.one_of(st.none(), small),
        "usage": usages,
        "tariff": tariffs,
    }
)


@given(st.lists(entries, max_size=12), st.randoms(use_true_random=False))
def test_every_entry_comes_back_as_it_was_in_any_order(
    given_fields: list[dict[str, Any]], chance: random.Random
) -> None:
    log = Log()
    recorder = LineRecorder(log.write)
    for one in given_fields:
        recorder.record(**one)
    lines = log.text.splitlines(keepends=True)
    chance.shuffle(lines)
    unread = Unread()
    read = sorted(read_lines(lines * 3, unread), key=lambda entry: entry.number)
    assert unread == Unread()
    for position, one in enumerate(given_fields):
        copies = read[position * 3 : position * 3 + 3]
        assert [msgspec.structs.replace(copy, writer="") for copy in copies] == [
            Entry(writer="", number=position + 1, **one)
        ] * 3


def test_work_that_two_processes_did_twice_has_one_name_among_the_entries_of_others() -> None:
    log, plain = recorded(3)
    first, second = LineRecorder(log.write), LineRecorder(log.write)
    first.record(**fields(7, tenant="other"))
    first.record(key=("batch-7", 3), **fields(9))
    second.record(key=("batch-7", 3), **fields(9))
    second.record(key=("batch-7", 1), **fields(8, tenant="other"))
    unread = Unread()
    found = list(read_lines(reversed(log.lines), unread))
    assert unread == Unread()
    named = [entry for entry in found if entry.writer == "batch-7"]
    assert sorted(entry.number for entry in named) == [1, 3, 3]
    assert [entry for entry in named if entry.number == 3] == [
        Entry(writer="batch-7", number=3, **fields(9))
    ] * 2
    assert len(found) == len(plain) + 4


def test_a_warm_answer_takes_about_a_hundred_bytes() -> None:
    log, _ = recorded(10_000)
    assert len(log.text) / 10_000 <= 110


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text.rstrip(),
        lambda text: f"2026-11-22T06:00:00.123456789Z stdout F {text}",
        lambda text: f"2026-11-22T06:00:00.123Z {text}",
        lambda text: f"2026-11-22T06:00:00 2026/11/22/[$LATEST]0a1b {text}",
        lambda text: json.dumps({"timestamp": AT_MS, "message": text, "eventId": "7"}),
        lambda text: json.dumps({"log": text, "stream": "stdout"}),
        lambda text: json.dumps({"time": "2026", "type": "function", "record": text}) + "\n",
        lambda text: text.encode(),
    ],
)
def test_lines_are_found_as_log_services_hand_them_out(wrap: Any) -> None:
    log, expected = recorded(20)
    assert list(read_lines(map(wrap, log.lines))) == expected


def test_foreign_lines_are_passed_over_and_broken_ones_are_counted() -> None:
    log, expected = recorded(5)
    foreign = [
        "START RequestId: 8f507cfc Version: $LATEST\n",
        "REPORT RequestId: 8f507cfc\tDuration: 1.0 ms\n",
        "somebody said farthing1 [1,2]\n",
        '{"message": 7}\n',
        '{"message": "farthing', "{", "", "\n", b"\xff\xfe farthing",
    ]  # fmt: skip
    broken = [
        log.lines[2][: len(log.lines[2]) // 2],
        "farthing1 [\n",
        "farthing1 []\n",
        'farthing1 ["w",1,{"writer":1}]\n',
        'farthing1 ["w","x",1,0,1,"r",1,1]\n',
        'farthing1 ["w",1,1,0,1,"r",1,1,0,0,1,1,1]\n',
        'farthing2 ["w",1,1,0,1,"r",1,1]\n',
        'farthing1 ["w",1,"lease"]\n',
        'farthing1 ["w",9,1,0,1,"r",1,1]\n',
    ]
    unread = Unread()
    lines = [*foreign, *log.lines, *broken, *foreign]
    assert list(read_lines(lines, unread)) == expected
    # A lease's word is whole in itself; that it was used as a kind is seen at the entry.
    assert (unread.broken, unread.wordless) == (len(broken) - 1, [])


def test_nothing_that_is_cut_anywhere_raises() -> None:
    log, expected = recorded(3, price_max_pico=7)
    for end in range(0, len(log.text), 3):
        for entry in read_lines(log.text[:end].splitlines(), Unread()):
            assert entry in expected


def test_a_reader_who_begins_in_the_middle_reads_all_once_the_words_are_said_again() -> None:
    log, expected = recorded(2_500)
    assert {entry.key for entry in read_lines(log.lines[500:])} == {
        entry.key for entry in expected[498:]
    }
    unread = Unread()
    assert not list(read_lines(log.lines[500:900], unread))
    assert unread.wordless == [entry.key for entry in expected[498:898]]


def test_words_are_said_again_after_five_minutes_and_when_the_clock_is_set_back() -> None:
    log = Log()
    recorder = LineRecorder(log.write)
    for at_ms in (AT_MS, AT_MS + 299_999, AT_MS + 300_000, AT_MS + 100):
        recorder.record(**fields(at_ms=at_ms))
    said = ["{" in text for text in log.lines]
    assert said == [True, False, False, False, True, False, False, True, False, False]


def test_many_words_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WORDS_MAX", 8)
    log = Log()
    recorder = LineRecorder(log.write)
    given_fields = [fields(index, lease=f"lease-{index}") for index in range(100)]
    for one in given_fields:
        recorder.record(**one)
    assert [entry.lease for entry in read_lines(log.lines)] == [
        one["lease"] for one in given_fields
    ]
    assert len(recorder._words) <= 8


def test_a_log_that_refuses_keeps_the_line_for_the_next_and_asks_for_no_more_work() -> None:
    log = Log()
    recorder = LineRecorder(log.write)
    log.is_broken = True
    recorder.record(**fields(0))
    assert recorder.is_full
    log.is_broken = False
    recorder.record(**fields(1))
    assert not recorder.is_full
    assert [entry.number for entry in read_lines(log.lines)] == [1, 2]


def test_a_log_that_takes_parts_gets_the_rest() -> None:
    log = Log()
    log.takes_bytes = 7
    LineRecorder(log.write).record(**fields())
    assert len(list(read_lines(log.lines))) == 1


def test_threads_and_forks_write_whole_lines_and_no_number_twice() -> None:
    read_end, write_end = os.pipe()
    recorder = LineRecorder(lambda data: os.write(write_end, data))

    def work() -> None:
        for index in range(40):
            recorder.record(**fields(index))

    recorder.record(**fields())
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as log:
        read = list(read_lines(log))
    keys = {entry.key for entry in read}
    assert len(read) == len(keys) == 201
    assert len({writer for writer, _ in keys}) == 2


def test_standard_output_is_the_log() -> None:
    code = (
        "from tests.core.test_recorders_line import *\n"
        "open_recorder(read_settings({'FARTHING_RECORDER': 'line'})).record(**fields())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=120
    )
    assert len(list(read_lines(done.stdout.splitlines()))) == 1


def test_no_recorder_keeps_nothing_and_is_never_full() -> None:
    recorder = open_recorder(read_settings({}))
    assert isinstance(recorder, NoRecorder)
    recorder.record(**fields())
    assert not recorder.is_full
    recorder.close()
