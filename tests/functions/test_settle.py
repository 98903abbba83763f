"""The scheduled settlement against moto's CloudWatch Logs, Secrets Manager and DynamoDB."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.billing.recorders.line import LineRecorder
from farthing.billing.stores import open_store
from farthing.billing.valuation import Valuer
from farthing.errors import SettingsError, StoreUnavailable
from farthing.ledger.groups import LogGroup
from farthing.ledger.job import Job, job_of
from farthing.ledger.receipts import check, receipt_of
from farthing.ledger.settlement.events import from_file
from farthing.ledger.settlement.reading import Reader
from farthing.ledger.settlement.settle import settle
from farthing.ledger.signing import PublicKeys, new_secret
from tests.functions.emulator import Emulator
from tests.functions.server import REQUEST_S
from tests.ledger.attempts import HOUR_MS, MINUTE_MS, SIGNER, a_ledger, an_entry
from tests.ledger.dynamodb import CREDENTIALS, new_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

GROUP = "/aws/lambda/farthing-classify"
NOW_MS = time.time_ns() // 1_000_000
BEGAN_MS = NOW_MS // HOUR_MS * HOUR_MS - 2 * HOUR_MS
ALL_MS = (0, 2**50)


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint of an account with a log group and a signing key, and the entry's settings."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=REQUEST_S).close()
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    boto3.client("secretsmanager").create_secret(Name="signing", SecretString=new_secret())
    monkeypatch.setenv("FARTHING_LEDGER", new_table(moto_server, "ledger"))
    monkeypatch.setenv("SETTLE_LOG_GROUPS", f"{GROUP}, /aws/lambda/never-called")
    monkeypatch.setenv("SETTLE_SIGNING_KEY_SECRET", "signing")
    monkeypatch.delenv("FARTHING_PLANS", raising=False)
    return moto_server


def calls(count: int, stream: str = "a", every_ms: int = 7000) -> list[tuple[int, str]]:
    """What one environment's log holds of so many calls: (time, line), the first with all words."""
    lines: list[tuple[int, str]] = []
    now = [BEGAN_MS]

    def write(line: bytes) -> int:
        lines.append((now[0], line.decode().rstrip("\n")))
        return len(line)

    recorder = LineRecorder(write)
    for number in range(1, count + 1):
        now[0] = BEGAN_MS + number * every_ms
        entry = an_entry(number, request_id=f"{stream}-{number}", at_ms=now[0])
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
        del fields["writer"], fields["number"]
        lines.append((now[0], f"START RequestId: {stream}-{number} Version: $LATEST"))
        recorder.record(**fields)
        report = (
            f"REPORT RequestId: {stream}-{number}\tDuration: 9.61 ms\tBilled Duration: 10 ms\t"
            "Memory Size: 1024 MB\tMax Memory Used: 99 MB"
        )
        lines.append((now[0] + 1, report))
    return lines


def put(lines: Iterable[tuple[int, str]], stream: str = "a") -> None:
    logs = boto3.client("logs")
    name = f"2026/11/22/[$LATEST]{stream}"
    logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
    events = [{"timestamp": at_ms, "message": line} for at_ms, line in sorted(lines)]
    for start in range(0, len(events), 1000):
        logs.put_log_events(
            logGroupName=GROUP, logStreamName=name, logEvents=events[start : start + 1000]
        )


def entry_point() -> Any:
    sys.modules.pop("functions.settle.app", None)
    return importlib.import_module("functions.settle.app").handler


@pytest.mark.usefixtures("aws")
def test_a_run_reads_settles_and_seals_and_a_second_one_changes_nothing(
    sample_event: Callable[[str, str], Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(calls(60, stream="a"), "a")
    put(calls(40, stream="b"), "b")
    handler = entry_point()
    event = sample_event("settle", "schedule")
    first = handler(event, Context())
    (line,) = capsys.readouterr().out.splitlines()
    # Slices of time overlap, so a line may be read twice; the ledger below has it once.
    assert first["entries"] >= 100
    assert first["records"] >= 100
    assert first["faults"] == 0
    assert first["roots"] >= 1
    assert first["finished"]
    figures = json.loads(line)["settle"]
    assert figures == {name: value for name, value in first.items() if name != "public_keys"}
    second = handler(event, Context())
    assert (second["roots"], second["unleased_pico"], second["leases"]) == (0, 0, 0)
    store = open_store(os.environ["FARTHING_LEDGER"])
    assert len(list(store.entries(*ALL_MS))) == len(list(store.records(*ALL_MS))) == 100
    receipt = receipt_of(store, "acme", "a-1", since_ms=0, until_ms=2**50)
    check(receipt, PublicKeys.read(json.dumps(first["public_keys"])))
    store.close()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "name", ["FARTHING_LEDGER", "SETTLE_LOG_GROUPS", "SETTLE_SIGNING_KEY_SECRET"]
)
def test_a_setting_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"needs {name}"):
        job_of(os.environ)


def test_every_report_of_an_emulators_run_finds_its_entry(tmp_path: Path) -> None:
    """The emulator's first Duration has the true init in it, and its Init Duration is next to 0."""
    log = tmp_path / "run.log"
    with Emulator("classify", {"FARTHING_MODEL": "product-classifier"}, log) as emulator:
        for number in range(25):
            emulator.invoke({"inputs": f"red shoes {number}"})
        ids = emulator.request_ids
    store = a_ledger()
    reader = Reader(store)
    reader.read(from_file(log, reader.faults))
    assert (reader.entries, reader.records, reader.faults.count) == (25, 25, 0)
    now_ms = time.time_ns() // 1_000_000
    (found,) = settle(
        store, since_ms=now_ms - HOUR_MS, until_ms=now_ms + HOUR_MS, now_ms=now_ms
    ).functions
    assert (found.function, found.matched_ppm) == ("farthing-classify", 1_000_000)
    assert (found.unreported, found.unrecorded, found.flags) == (0, 0, ())
    assert {record.request_id for record in store.records(*ALL_MS)} == {*ids}
    billed = re.findall(r"Billed Duration: (\d+) ms", log.read_text())
    oracle = 25 * Decimal("0.0000002") + sum(map(int, billed)) * Decimal("0.0000000166667")
    assert found.settled == found.bill == oracle


class Log:
    """CloudWatch's answers by hand: pages of ten, and what is delivered may come again."""

    class exceptions:  # noqa: N801 - the name that boto3 gives it
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = lines
        self.asked = 0

    def filter_log_events(self, **asked: Any) -> Any:
        self.asked += 1
        found = [
            {"timestamp": at_ms, "message": line, "eventId": str(place), "logStreamName": "s"}
            for place, (at_ms, line) in enumerate(self.lines)
            if asked["startTime"] <= at_ms <= asked["endTime"]
        ]
        start = int(asked.get("nextToken", 0))
        page: dict[str, Any] = {"events": found[start : start + 10]}
        if start + 10 < len(found):
            page["nextToken"] = str(start + 10)
        return page


def a_job(store: Any, log: Log, now_ms: int = NOW_MS) -> Job:
    return Job(store, [LogGroup(log, GROUP)], SIGNER, Valuer({}), clock_ms=lambda: now_ms)


def kept(store: Any) -> tuple[int, int]:
    return len(list(store.entries(*ALL_MS))), len(list(store.records(*ALL_MS)))


def test_a_run_whose_time_ends_goes_on_in_the_next_until_all_is_read() -> None:
    log, store = Log(calls(100, every_ms=MINUTE_MS)), a_ledger()
    finished = []
    while not finished or not finished[-1]:
        ends = log.asked + 12
        finished.append(
            a_job(store, log).run(lambda ends=ends: 60_000 if log.asked < ends else 0)["finished"]
        )
        assert len(finished) < 60
    assert len(finished) > 2
    assert kept(store) == (100, 100)


def test_lines_that_come_minutes_late_are_read_in_the_next_run() -> None:
    lines = calls(100)
    late, early = lines[150:220], lines[:150] + lines[220:]
    log, store = Log(early), a_ledger()
    until_ms = lines[-1][0] + MINUTE_MS
    a_job(store, log, until_ms).run(lambda: 300_000)
    assert kept(store) != (100, 100)
    log.lines = early + late
    a_job(store, log, until_ms + MINUTE_MS).run(lambda: 300_000)
    assert kept(store) == (100, 100)


def test_what_was_read_when_the_store_failed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log, store = Log(calls(300)), a_ledger()
    real, failures = store.append_records, iter([None, StoreUnavailable("down")])

    def append_records(records: Any) -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        real(records)

    monkeypatch.setattr(store, "append_records", append_records)
    with pytest.raises(StoreUnavailable):
        a_job(store, log).run(lambda: 300_000)
    assert a_job(store, log).run(lambda: 300_000)["finished"]
    assert kept(store) == (300, 300)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_whatever_is_delivered_thrice_and_in_any_order_is_kept_once(random: Any) -> None:
    lines = calls(80)
    named = list(enumerate(lines)) * 3
    random.shuffle(named)

    class Shuffled(Log):
        def filter_log_events(self, **asked: Any) -> Any:
            start = int(asked.get("nextToken", 0))
            events = [
                {"timestamp": at_ms, "message": line, "eventId": str(place)}
                for place, (at_ms, line) in named[start : start + 50]
            ]
            more = {"nextToken": str(start + 50)} if start + 50 < len(named) else {}
            return {"events": events, **more}

    store = a_ledger()
    a_job(store, Shuffled(lines), NOW_MS).run(lambda: 300_000)
    assert kept(store) == (80, 80)
