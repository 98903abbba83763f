"""What a clock's call makes up for: events that were lost, and webhooks that failed."""

from __future__ import annotations

import base64
import json
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from farthing.batch.events.function import BatchFunction
from farthing.batch.events.program import main
from farthing.batch.requests import RequestWorker
from farthing.batch.webhooks import Webhooks
from farthing.serving.jobs.targets import Target
from farthing.serving.service import Service
from farthing.settings import read_settings
from tests.batch.cloud import Context, entries_of
from tests.batch.functions import environ_of
from tests.batch.receiver import HOST, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TITLES = ["usb c charger", "garden chair", "canon eos 2000d kit"]


class Shop:
    """A folder where requests wait, whose events nobody delivers, and the function that a clock
    calls."""

    def __init__(self, folder: Path, models: Path, event: dict[str, Any], **more: str) -> None:
        self.jobs = folder / "jobs"
        environ = environ_of(models, str(folder / "out"), jobs=str(self.jobs), **more)
        self.client = TestClient(Service(["classify"], read_settings(environ)).app)
        self.function = BatchFunction(environ)
        self._event = event

    def submit(self, title: str, **more: str) -> str:
        body = {"inputs": [title], "priority": "low", **more}
        answer = self.client.post("/v1/classify", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def status(self, job_id: str) -> str:
        return str(self.client.get(f"/v1/jobs/{job_id}").json()["status"])

    def tick(self, remaining_ms: int = 600_000) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.function.handler(self._event, Context(remaining_ms))[
            "jobs"
        ]
        return jobs


@pytest.fixture
def shop(
    tmp_path: Path, models_dir: Path, sample_event: Callable[[str, str], Any]
) -> Callable[..., Shop]:
    return lambda **more: Shop(tmp_path, models_dir, sample_event("batch", "schedule"), **more)


def test_requests_whose_events_were_lost_are_computed_once(
    shop: Callable[..., Shop], capfd: pytest.CaptureFixture[str]
) -> None:
    one = shop()
    ids = [one.submit(title) for title in TITLES]
    capfd.readouterr()
    assert one.tick() == [{"requests": 3, "batches": 0}]
    assert one.tick() == []
    assert [one.status(job_id) for job_id in ids] == ["succeeded"] * 3
    sold = [it["writer"] for it in entries_of(capfd.readouterr().out) if it["tenant"] != "house"]
    assert sorted(sold) == sorted(f"job-{job_id}" for job_id in ids)


def test_a_job_of_a_sink_does_it_for_a_ping(shop: Callable[..., Shop], tmp_path: Path) -> None:
    one = shop()
    job_id = one.submit(TITLES[0])
    file = tmp_path / "event"
    file.write_text('{"specversion": "1.0", "id": "1", "type": "dev.knative.sources.ping"}')
    assert main(one.function, [str(file)]) == 0
    assert one.status(job_id) == "succeeded"


@pytest.mark.parametrize("fault", [RuntimeError("a customer's words"), KeyError("title")])
def test_one_that_fails_keeps_no_other_waiting(
    shop: Callable[..., Shop],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    one = shop()
    ids = [one.submit(title) for title in TITLES]
    compute = RequestWorker._compute

    def fail_first(worker: RequestWorker, job: Any, given: Any) -> Any:
        if job.id == ids[0]:
            raise fault
        return compute(worker, job, given)

    monkeypatch.setattr(RequestWorker, "_compute", fail_first)
    assert one.tick() == [{"requests": 2, "batches": 0}]
    assert [one.status(job_id) for job_id in ids] == ["queued", "succeeded", "succeeded"]
    assert type(fault).__name__ in caplog.text
    assert str(fault) not in caplog.text
    monkeypatch.undo()
    assert one.tick() == [{"requests": 1, "batches": 0}]


def test_a_webhook_that_failed_at_first_is_called_again(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began_ns, later_ns = time.time_ns(), 0

    def getaddrinfo(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with Receiver(tmp_path) as receiver:
        receiver.statuses = [500, 200]

        def on_loopback(secret: str) -> Webhooks:
            return Webhooks(
                secret,
                is_allowed=lambda address: address == "127.0.0.1",
                read=lambda _url: Target(HOST, receiver.port, "/hook"),
                trust=receiver.trust,
            )

        clock = SimpleNamespace(time_ns=lambda: began_ns + later_ns)
        monkeypatch.setattr("farthing.batch.requests.Webhooks", on_loopback)
        monkeypatch.setattr("farthing.batch.webhooks.socket.getaddrinfo", getaddrinfo)
        monkeypatch.setattr("farthing.batch.deliveries.time", clock)
        one = shop(webhook_secret=SECRET)
        job_id = one.submit(TITLES[0], webhook="https://hooks.example.com/")
        hooks = one.jobs / "hooks"
        broken = hooks / f"job_{'0' * 32}.json"
        broken.parent.mkdir(exist_ok=True)
        assert one.tick() == [{"requests": 1, "batches": 0}]
        assert len(receiver.received) == 1
        # What nobody can read stands before it, and is left alone.
        (kept,) = hooks.glob("*.json")
        broken.write_text("{")
        (one.jobs / "out" / broken.name).write_text("{")
        one.tick()
        assert len(receiver.received) == 1
        later_ns = 5 * 10**9
        one.tick()
        one.tick()
        assert len(receiver.received) == 2
        assert {it.headers["webhook-id"] for it in receiver.received} == {f"msg_{job_id}"}
        assert not kept.exists()
        assert broken.exists()


def begin_batch(client: TestClient) -> str:
    lines = [
        {"custom_id": title, "method": "POST", "url": "/v1/classify", "body": {"inputs": title}}
        for title in TITLES
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    sent = client.post(
        "/v1/files", files={"file": ("lines.jsonl", content)}, data={"purpose": "batch"}
    ).json()
    asked = {"input_file_id": sent["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    return str(client.post("/v1/batches", json=asked).json()["id"])


def test_a_batch_is_left_to_its_own_event_for_as_long_as_that_may_take(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shop()
    batch_id = begin_batch(one.client)
    assert one.tick() == []
    assert one.client.get(f"/v1/batches/{batch_id}").json()["status"] == "validating"
    clock = SimpleNamespace(time=lambda: time.time() + 601)
    monkeypatch.setattr("farthing.batch.openai.time", clock)
    assert one.tick() == [{"requests": 0, "batches": 1}]
    assert one.client.get(f"/v1/batches/{batch_id}").json()["status"] == "completed"
    assert one.tick() == []


def test_nothing_is_begun_when_the_call_ends(shop: Callable[..., Shop]) -> None:
    one = shop()
    job_id = one.submit(TITLES[0])
    assert one.tick(remaining_ms=0) == []
    assert one.status(job_id) == "queued"


def test_nor_when_the_clock_is_about_to_call_again(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shop()
    ids = [one.submit(title) for title in TITLES]
    compute, began_s = RequestWorker._compute, time.monotonic()
    late = SimpleNamespace(monotonic=lambda: began_s)

    def slow(worker: RequestWorker, job: Any, given: Any) -> Any:
        late.monotonic = lambda: began_s + 841
        return compute(worker, job, given)

    monkeypatch.setattr("farthing.batch.events.requests.time", late)
    monkeypatch.setattr(RequestWorker, "_compute", slow)
    # A Job has hours, and the next one would compute the same beside it.
    assert one.tick(remaining_ms=21_600_000) == [{"requests": 1, "batches": 0}]
    assert [one.status(job_id) for job_id in ids] == ["succeeded", "queued", "queued"]


def test_where_no_requests_are_kept_there_is_nothing_to_do(
    tmp_path: Path, models_dir: Path, sample_event: Callable[[str, str], Any]
) -> None:
    function = BatchFunction(environ_of(models_dir, str(tmp_path)))
    assert function.handler(sample_event("batch", "schedule"), Context()) == {"jobs": []}
