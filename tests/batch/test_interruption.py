"""Signals, notices of spot machines, and how often a job may be interrupted."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farthing.batch.errors import JobInvalid
from farthing.batch.interruption import (
    INTERRUPTIONS_FILE,
    Stop,
    count_interruption,
    interruptions,
    placement,
    signals,
    spot_notices,
)
from farthing.storage import LocalStorage
from tests.batch.metadata import ALIBABA_PATH, EC2_PATH, Metadata, running

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that a slow machine keeps waiting is there all the same."""
    monkeypatch.setattr("farthing.batch.interruption.ANSWER_S_MAX", 60.0)


def watched(metadata: Metadata, *, variable: str) -> Stop:
    """The stop that the notices set, after some polls at most."""
    other = {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "ALIBABA_CLOUD_METADATA_ENDPOINT"} - {variable}
    stop = Stop()
    with running(metadata) as url:
        environ = {variable: url, **dict.fromkeys(other, NOWHERE)}
        with spot_notices(stop, environ, poll_s=0.01):
            while not stop.wait(0.02) and not metadata.heard.is_set():
                pass
    return stop


def test_ec2_says_when_it_takes_the_machine_back() -> None:
    metadata = Metadata()
    notice = {"action": "terminate", "time": "2026-11-22T13:00:00Z"}
    metadata.notices[EC2_PATH] = json.dumps(notice)
    stop = watched(metadata, variable="AWS_EC2_METADATA_SERVICE_ENDPOINT")
    assert stop.is_set()
    assert "EC2" in stop.reason
    assert "2026-11-22T13:00:00Z" in stop.reason
    assert metadata.asked[:2] == ["PUT /latest/api/token", f"GET {EC2_PATH}"]


def test_alibaba_says_when_it_takes_the_machine_back_with_tokens_or_without() -> None:
    for wants_token in (True, False):
        metadata = Metadata()
        metadata.wants_token = wants_token
        metadata.notices[ALIBABA_PATH] = "2026-11-22T13:05:00Z"
        stop = watched(metadata, variable="ALIBABA_CLOUD_METADATA_ENDPOINT")
        assert stop.is_set()
        assert "Alibaba" in stop.reason
        assert "2026-11-22T13:05:00Z" in stop.reason


def test_a_machine_that_is_left_alone_goes_on() -> None:
    metadata = Metadata()
    assert not watched(metadata, variable="AWS_EC2_METADATA_SERVICE_ENDPOINT").is_set()
    assert metadata.tokens_given == 1


def test_a_token_that_ran_out_is_taken_anew() -> None:
    metadata = Metadata()
    metadata.notices[EC2_PATH] = "{}"
    answer = metadata.answer

    def forgetful(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        status, body = answer(method, path, headers)
        if metadata.tokens_given == 1 and method == "GET":
            return 401, ""
        return status, body

    metadata.answer = forgetful  # type: ignore[method-assign]
    stop = watched(metadata, variable="AWS_EC2_METADATA_SERVICE_ENDPOINT")
    assert stop.is_set()
    assert metadata.tokens_given == 2


def test_a_machine_without_metadata_is_never_told_to_stop() -> None:
    stop = Stop()
    environ = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": NOWHERE,
        "ALIBABA_CLOUD_METADATA_ENDPOINT": NOWHERE,
    }
    with spot_notices(stop, environ, poll_s=0.01):
        assert not stop.wait(0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_the_stop_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = Stop()
    with signals(stop):
        os.kill(os.getpid(), number)
        assert stop.wait(30)
        assert stop.reason == f"{number.name} came"
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_the_first_reason_stays() -> None:
    stop = Stop()
    stop.set("first")
    stop.set("second")
    assert stop.reason == "first"


def test_interruptions_of_many_machines_at_once_are_all_counted(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "out")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda i: count_interruption(storage, f"reason {i}"), range(24)))
    assert sorted(counts) == list(range(1, 25))
    kept = json.loads((tmp_path / "out" / INTERRUPTIONS_FILE).read_bytes())
    assert kept["count"] == 24
    assert interruptions(storage).reasons[-1] == kept["reasons"][-1]


def test_after_so_many_interruptions_a_job_goes_where_nobody_takes_the_machine(
    tmp_path: Path,
) -> None:
    storage = LocalStorage(tmp_path / "out")
    assert placement(storage) == "spot"
    for expected in ("spot", "spot", "on-demand", "on-demand"):
        count_interruption(storage, "taken back")
        assert placement(storage, limit=3) == expected


def test_a_count_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "out")
    storage.write(INTERRUPTIONS_FILE, b"three")
    with pytest.raises(JobInvalid, match="counted from 0 again"):
        placement(storage)
