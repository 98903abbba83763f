"""Webhooks: signed as the standard says, and never a way into what only this machine reaches."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from farthing.batch.deliveries import Deliveries, message_of
from farthing.batch.webhooks import Webhooks
from farthing.errors import SettingsError
from farthing.serving.jobs.records import Finished
from farthing.serving.jobs.store import JobStore, open_jobs
from farthing.serving.jobs.targets import Target
from tests.batch.receiver import HOST, Receiver
from tests.core.test_jobs_store import queued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CHARGE = {"total": "0.000001", "currency": "USD"}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call fails because a machine is slow, and what ends one early is `call_s` alone."""
    monkeypatch.setattr("farthing.batch.webhooks.CONNECT_S", 60.0)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path) as one:
        yield one


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`resolves("1.2.3.4", …)`: what every name stands for; gives the names that were asked for."""

    def stand_in(*addresses: str) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

        monkeypatch.setattr("farthing.batch.webhooks.socket.getaddrinfo", getaddrinfo)
        return asked

    return stand_in


def on_loopback(receiver: Receiver, **options: Any) -> Webhooks:
    """Webhooks that may call the receiver, and nothing else that is not public."""
    return Webhooks(
        SECRET,
        **{
            "is_allowed": lambda address: address == "127.0.0.1",
            "read": lambda _url: Target(HOST, receiver.port, "/hook?a=b"),
            "trust": receiver.trust,
            **options,
        },
    )


def test_a_call_is_signed_as_the_standards_own_library_verifies_it(
    receiver: Receiver, resolves: Callable[..., list[str]]
) -> None:
    asked = resolves("127.0.0.1")
    body = b'{"type":"job.succeeded"}'
    assert on_loopback(receiver).call("https://x", "msg_1", body) == 200
    (one,) = receiver.received
    # The address that is connected to goes through the resolver too, which leaves it as it is.
    assert (asked[0], set(asked[1:])) == (HOST, {"127.0.0.1"})
    assert one.path == "/hook?a=b"
    assert one.headers["host"] == f"{HOST}:{receiver.port}"
    assert one.headers["webhook-id"] == "msg_1"
    assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 30
    assert Webhook(SECRET).verify(one.body, one.headers) == {"type": "job.succeeded"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(one.body + b" ", one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(one.body, one.headers | {"webhook-id": "msg_2"})


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.7"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["1.1.1.1", "127.0.0.1"],
        [],
    ],
)
def test_a_name_that_stands_for_a_private_address_is_not_connected_to(
    resolves: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolves(*addresses)

    def connect(*_: object) -> None:
        raise AssertionError("it was connected to")

    monkeypatch.setattr("farthing.batch.webhooks.socket.create_connection", connect)
    assert Webhooks(SECRET).call("https://rebound.example.com/", "msg_1", b"{}") == 0


def test_what_is_connected_to_is_what_was_checked_and_is_asked_for_once(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["127.0.0.1", "169.254.169.254", "169.254.169.254"])
    connected: list[str] = []
    connect = socket.create_connection

    def getaddrinfo(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def noted(address: tuple[str, int], *rest: Any) -> socket.socket:
        connected.append(address[0])
        monkeypatch.undo()
        return connect(address, *rest)

    monkeypatch.setattr("farthing.batch.webhooks.socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr("farthing.batch.webhooks.socket.create_connection", noted)
    assert on_loopback(receiver).call("https://x", "msg_1", b"{}") == 200
    assert connected == ["127.0.0.1"]


def test_a_redirection_is_not_followed(
    receiver: Receiver, resolves: Callable[..., list[str]], tmp_path: Path
) -> None:
    resolves("127.0.0.1")
    receiver.statuses, receiver.location = [307], f"https://{HOST}:{receiver.port}/elsewhere"
    assert on_loopback(receiver).call("https://x", "msg_1", b"{}") == 307
    assert len(receiver.received) == 1


def test_a_certificate_of_another_name_or_of_nobody_known_is_not_talked_to(
    tmp_path: Path, resolves: Callable[..., list[str]]
) -> None:
    resolves("127.0.0.1")
    with Receiver(tmp_path, host="other.example.com") as other:
        assert on_loopback(other).call("https://x", "msg_1", b"{}") == 0
        assert on_loopback(other, trust=ssl.create_default_context()).call("x", "m", b"{}") == 0
        assert other.received == []


def test_a_receiver_that_never_ends_its_answer_holds_nobody_for_long(
    receiver: Receiver, resolves: Callable[..., list[str]]
) -> None:
    resolves("127.0.0.1")
    released = threading.Event()
    receiver.before_answer = lambda: released.wait(60) and None
    began_s = time.monotonic()
    status = on_loopback(receiver, call_s=0.3).call("https://x", "msg_1", b"{}")
    held_s = time.monotonic() - began_s
    released.set()
    assert (status, held_s < 50) == (0, True)


def test_nor_does_one_that_draws_out_the_handshake(resolves: Callable[..., list[str]]) -> None:
    resolves("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target(HOST, silent.getsockname()[1], "/")
        webhooks = Webhooks(SECRET, is_allowed=bool, read=lambda _: target, call_s=0.3)
        began_s = time.monotonic()
        assert webhooks.call("https://x", "msg_1", b"{}") == 0
        assert time.monotonic() - began_s < 50


def test_nor_does_one_that_takes_the_call_when_its_time_is_up(
    receiver: Receiver, resolves: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves("127.0.0.1")
    timers: list[threading.Timer] = []

    class Noted(threading.Timer):
        def start(self) -> None:
            timers.append(self)
            super().start()

    def connect(*given: Any) -> socket.socket:
        (timer,) = timers
        timer.join()
        return connecting(*given)

    connecting = socket.create_connection
    monkeypatch.setattr("farthing.batch.webhooks.threading.Timer", Noted)
    monkeypatch.setattr("farthing.batch.webhooks.socket.create_connection", connect)
    assert on_loopback(receiver, call_s=0.01).call("https://x", "msg_1", b"{}") == 0
    assert receiver.received == []


def test_a_host_where_nobody_listens_or_that_is_none_is_no_fault(
    resolves: Callable[..., list[str]],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = Target(HOST, taken.getsockname()[1], "/")
        resolves("127.0.0.1")
        webhooks = Webhooks(SECRET, is_allowed=lambda _: True, read=lambda _: nowhere)
        assert webhooks.call("https://x", "msg_1", b"{}") == 0
    assert Webhooks(SECRET).call("https://127.0.0.1/", "msg_1", b"{}") == 0
    assert Webhooks(SECRET).call("http://example.com/", "msg_1", b"{}") == 0


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!!!", "c2VjcmV0" * 6, "whsec_c2hvcnQ=", "whsec_" + "A" * 200]
)
def test_a_secret_that_is_none_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(SettingsError, match="FARTHING_WEBHOOK_SECRET") as refused:
        Webhooks(secret)
    assert len(secret) < 8 or secret[6:] not in str(refused.value)


class Deliverer:
    """Deliveries of one store to one receiver, by a clock that the test sets."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.now_ms = 1_000_000
        self.store: JobStore = open_jobs(str(folder / "jobs"))
        self.deliveries = Deliveries(
            self.store, on_loopback(receiver), pauses_s=(5, 30, 120, 600), clock_ms=self._now
        )

    def _now(self) -> int:
        return self.now_ms

    def end(self, status: Any = "succeeded") -> Finished:
        job = queued(webhook="https://hooks.example.com/")
        body = {"results": [[{"label": "a text of the answer"}]], "charge": CHARGE}
        ended = self.store.finish(
            Finished(job=job, status=status, body=body, finished_ms=2_000_000)
        )
        self.deliveries.add(ended)
        return ended

    def pending(self) -> list[str]:
        return list(self.store.storage.names("hooks/"))


@pytest.fixture
def deliverer(tmp_path: Path, receiver: Receiver, resolves: Callable[..., list[str]]) -> Deliverer:
    resolves("127.0.0.1")
    return Deliverer(tmp_path, receiver)


def test_a_receiver_is_told_what_became_of_the_job_and_not_what_was_answered(
    deliverer: Deliverer, receiver: Receiver
) -> None:
    ended = deliverer.end()
    assert deliverer.deliveries.deliver_due() == 1
    (one,) = receiver.received
    told: Any = Webhook(SECRET).verify(one.body, one.headers)
    assert told["type"] == "job.succeeded"
    assert told["timestamp"] == "1970-01-01T00:33:20+00:00"
    assert (told["data"]["id"], told["data"]["status"]) == (ended.job.id, "succeeded")
    assert told["data"]["charge"] == CHARGE
    assert b"a text" not in one.body
    assert deliverer.pending() == []
    assert deliverer.deliveries.deliver_due() == 0


def test_a_webhook_that_fails_is_called_five_times_with_growing_pauses_and_then_given_up(
    deliverer: Deliverer, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500, 404, 302, 429, 503]
    deliverer.end()
    began_ms = deliverer.now_ms
    called_s: list[int] = []
    for second in range(1000):
        deliverer.now_ms = began_ms + second * 1000
        before = len(receiver.received)
        deliverer.deliveries.deliver_due()
        called_s += [second] * (len(receiver.received) - before)
    assert called_s == [0, 5, 35, 155, 755]
    assert deliverer.pending() == []
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert "given up" in caplog.text


def test_a_webhook_that_comes_back_is_delivered_once(
    deliverer: Deliverer, receiver: Receiver
) -> None:
    receiver.statuses = [500, 200]
    deliverer.end()
    assert deliverer.deliveries.deliver_due() == 0
    deliverer.now_ms += 5000
    assert deliverer.deliveries.deliver_due() == 1
    assert deliverer.pending() == []


def test_a_receiver_that_is_gone_for_good_is_not_called_again(
    deliverer: Deliverer, receiver: Receiver
) -> None:
    receiver.statuses = [410]
    deliverer.end()
    deliverer.deliveries.deliver_due()
    assert (deliverer.pending(), len(receiver.received)) == ([], 1)


def test_of_several_workers_one_makes_the_call(deliverer: Deliverer, receiver: Receiver) -> None:
    deliverer.end("failed")
    receiver.before_answer = lambda: time.sleep(0.2)
    threads = [threading.Thread(target=deliverer.deliveries.deliver_due) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.received) == 1
    assert json.loads(receiver.received[0].body)["type"] == "job.failed"


def test_a_worker_that_dies_while_it_calls_is_followed_by_another_call(
    deliverer: Deliverer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliverer.end()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Webhooks, "call", die)
        deliverer.deliveries.deliver_due()
    assert deliverer.deliveries.deliver_due() == 0
    deliverer.now_ms += 60_000
    assert deliverer.deliveries.deliver_due() == 1
    assert len(receiver.received) == 1


def test_a_message_is_the_same_bytes_each_time(deliverer: Deliverer) -> None:
    ended = deliverer.end()
    kept = deliverer.store.finished(ended.job.id)
    assert kept is not None
    assert message_of(kept) == message_of(ended)
