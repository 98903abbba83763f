"""A call beside others: who is told its outcome, who leaves before, and what is booked then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.meter import HOUSE, meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.errors import Overloaded, TooManyWaiting
from farthing.serving import bodies, gate, lag, waiting
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.envelope import generate_envelope
from farthing.serving.http import Endpoint
from farthing.serving.lag import Lag
from farthing.serving.pipeline import Pipeline
from farthing.serving.platforms import LocalPlatform
from farthing.settings import read_settings
from tests.core.answerer import LetterModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farthing.errors import Refusal
    from farthing.serving.outcome import Outcome
    from farthing.serving.ports import Computation

BODY = b'{"inputs": "banana"}'


class HeldBatcher:
    """Computes nothing until it is told to, each call on a thread of its own."""

    def __init__(self) -> None:
        self.waiting: list[Ticket] = []
        self.refusal: Refusal | None = None
        self.submitted = threading.Event()

    def admit(self, tenant: str, deadline_ns: int) -> None:
        if self.refusal is not None:
            raise self.refusal

    def submit(self, computation: Computation, done: Callable[..., None]) -> Ticket:
        self.admit(computation.tenant, computation.deadline_ns)
        ticket = Ticket(computation, done)
        self.waiting.append(ticket)
        return ticket

    def compute(self) -> None:
        for ticket in self.waiting:
            thread = threading.Thread(target=ticket.compute)
            thread.start()
            thread.join()
        self.waiting.clear()

    def close(self) -> None:
        self.compute()


class Ticket:
    def __init__(self, computation: Computation, done: Callable[..., None]) -> None:
        self._computation = computation
        self._done = done
        self.is_cancelled = self.is_over = False

    def cancel(self) -> bool:
        self.is_cancelled = True
        return not self.is_over

    def compute(self) -> None:
        answerer, work = self._computation.answerer, self._computation.work
        if not self.is_cancelled:
            self.is_over = True
            self._done(answerer.compute(work), None)


class Entries:
    """What would go to a ledger."""

    is_full = False

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, int]] = []

    def record(self, **fields: Any) -> None:
        self.kept.append((fields["tenant"], fields["kind"], fields["status"]))

    def close(self) -> None:
        pass


class Place:
    """As much of a service as an endpoint needs."""

    def __init__(self) -> None:
        self.settings = read_settings({}, memory_mb=1024, arch="x86_64")
        self.accounts = Accounts(self.settings)
        self.entries = Entries()
        self.accounts.recorder = self.entries  # type: ignore[assignment]
        meter = meter_of(read_price_book(), self.settings)
        models = {"classify": [LetterModel()]}
        self.pipeline = Pipeline(self.settings, models, meter, SharedTime(), self.accounts)
        self.batcher = HeldBatcher()
        self.pipeline.batcher = self.batcher  # type: ignore[assignment]
        self.platform = LocalPlatform(self.settings)
        self.keys = None
        self.workers = None
        self.pressed_until_ns = self.beginning = 0
        self.lag = Lag()
        self.endpoint = Endpoint(self, Classify(), wants_json=True)  # type: ignore[arg-type]


class LateClock:
    """Stands where the loop's lateness is measured: between two readings so much has passed."""

    def __init__(self) -> None:
        self.now_ns = self.step_ns = 0

    def perf_counter_ns(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


class Client:
    """One request to an endpoint, its body in the pieces that are put in."""

    def __init__(self, place: Place, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._place = place
        self._headers = list(headers)
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def send(self, body: bytes, *, more: bool = False) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    def ask(self) -> asyncio.Task[None]:
        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            else:
                self.body += message["body"]

        scope = {"type": "http", "method": "POST", "path": "/v1/classify", "headers": self._headers}
        return asyncio.ensure_future(
            self._place.endpoint(scope, self._messages.get, keep)  # type: ignore[arg-type]
        )


async def waiting_client(place: Place) -> tuple[Client, asyncio.Task[None]]:
    """A client whose call waits to be computed."""
    client = Client(place)
    client.send(BODY)
    asked = client.ask()
    await until(lambda: place.batcher.waiting)
    return client, asked


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the condition is another thread's
            await asyncio.sleep(0.001)


def test_an_answer_comes_from_the_thread_that_computed_it_and_is_its_tenants() -> None:
    place = Place()

    async def talk() -> Client:
        client, asked = await waiting_client(place)
        await asyncio.to_thread(place.batcher.compute)
        await asked
        return client

    client = asyncio.run(talk())
    assert client.status == 200
    assert json.loads(client.body)["usage"]["prompt_tokens"] == 6
    assert place.entries.kept == [("local", "answer", 200)]


def test_a_caller_who_leaves_while_its_call_waits_is_not_computed_for_and_not_charged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "WATCH_AFTER_S", 0)
    place = Place()

    async def talk() -> Client:
        client, asked = await waiting_client(place)
        client.leave()
        await asked
        return client

    client = asyncio.run(talk())
    (ticket,) = place.batcher.waiting
    assert ticket.is_cancelled
    place.batcher.compute()
    assert client.status == 0
    assert place.entries.kept == [(HOUSE, "refusal", 499)]


def test_a_call_that_was_over_when_its_caller_left_is_booked_once_as_the_answer_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "WATCH_AFTER_S", 0)
    place = Place()

    async def talk() -> None:
        client, asked = await waiting_client(place)
        # The thread is at its end, and the loop hears of the caller first.
        (ticket,) = place.batcher.waiting
        ticket.is_over = True
        client.leave()
        await asked
        ticket.is_cancelled = False
        ticket.compute()

    asyncio.run(talk())
    assert place.entries.kept == [("local", "answer", 200)]


def test_a_call_that_the_server_ends_with_is_given_up_and_booked() -> None:
    place = Place()

    async def talk() -> None:
        _, asked = await waiting_client(place)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked

    asyncio.run(talk())
    assert place.entries.kept == [(HOUSE, "refusal", 499)]


@pytest.mark.parametrize("refusal_type", [Overloaded, TooManyWaiting])
def test_where_there_is_no_room_the_body_is_not_waited_for(refusal_type: type[Refusal]) -> None:
    place = Place()
    place.batcher.refusal = refusal_type("There is no room. Try again.", retry_after="3")

    async def talk() -> Client:
        client = Client(place)
        await client.ask()
        return client

    client = asyncio.run(talk())
    assert client.status == refusal_type.status
    assert client.headers[b"retry-after"] == b"3"
    assert json.loads(client.body)["charge"]["total"] == "0"
    assert place.entries.kept == [(HOUSE, "refusal", refusal_type.status)]
    assert place.pressed_until_ns > 0


def test_a_late_loop_lets_nobody_in_until_it_is_in_time_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, clock = Place(), LateClock()
    monkeypatch.setattr(lag, "time", clock)

    async def ask() -> int:
        client = Client(place)
        client.send(BODY)
        asked = client.ask()
        await until(lambda: asked.done() or place.batcher.waiting)
        if place.batcher.waiting:
            place.batcher.waiting.clear()
            asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked
        return client.status

    async def talk() -> list[int]:
        clock.step_ns = 500_000_000
        place.lag.watch(time.perf_counter_ns() + 60_000_000_000)
        await until(lambda: place.lag.ns)
        late = await ask()
        clock.step_ns = 0
        await until(lambda: place.lag.ns == 0)
        return [late, await ask()]

    late, in_time = asyncio.run(talk())
    assert late == 503
    assert in_time != 503


def test_a_loop_that_is_watched_no_more_is_not_late() -> None:
    lag = Lag()

    async def watch() -> None:
        lag.watch(0)
        time.sleep(0.2)  # noqa: ASYNC251 - as above
        await asyncio.sleep(0.01)

    asyncio.run(watch())
    assert lag.ns == 0


def test_calls_that_wait_to_be_begun_are_counted_too() -> None:
    place = Place()
    place.beginning = gate.BEGINNING_MAX

    async def talk() -> Client:
        client = Client(place)
        await client.ask()
        return client

    client = asyncio.run(talk())
    assert client.status == 503
    assert int(client.headers[b"retry-after"]) >= 1


def test_a_body_that_does_not_come_is_refused_and_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "GAP_S_MAX", 0.02)
    place = Place()

    async def talk() -> Client:
        client = Client(place)
        client.send(BODY[:4], more=True)
        await client.ask()
        return client

    client = asyncio.run(talk())
    assert client.status == 408
    assert client.headers[b"connection"] == b"close"
    assert place.entries.kept == [(HOUSE, "refusal", 408)]


def test_a_body_that_comes_by_drops_is_refused_after_the_time_for_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "BODY_S_MAX", 0.1)
    place = Place()

    async def talk() -> Client:
        client = Client(place)
        asked = client.ask()
        while not asked.done():
            client.send(b" ", more=True)
            await asyncio.sleep(0.005)
        return client

    assert asyncio.run(talk()).status == 408


@pytest.mark.parametrize("stated", ["0", "-1", "1.5", "soon", "", "1e3", "²", "9999999999"])
def test_a_patience_that_is_no_whole_number_of_milliseconds_is_refused(stated: str) -> None:
    place = Place()

    async def talk() -> Client:
        client = Client(place, [(b"x-farthing-timeout-ms", stated.encode("latin-1", "replace"))])
        client.send(BODY)
        await client.ask()
        return client

    client = asyncio.run(talk())
    assert client.status == 422
    assert "X-Farthing-Timeout-Ms" in json.loads(client.body)["detail"]


@pytest.mark.parametrize(("stated_ms", "left_ms"), [(5_000, 5_000), (600_000, 30_000)])
def test_a_callers_patience_lowers_the_deadline_and_never_raises_it(
    stated_ms: int, left_ms: int
) -> None:
    place = Place()

    async def talk() -> tuple[int, int, int]:
        client = Client(place, [(b"x-farthing-timeout-ms", str(stated_ms).encode())])
        client.send(BODY)
        before_ns = time.perf_counter_ns()
        asked = client.ask()
        await until(lambda: place.batcher.waiting)
        after_ns = time.perf_counter_ns()
        deadline_ns: int = place.batcher.waiting[0]._computation.deadline_ns
        await asyncio.to_thread(place.batcher.compute)
        await asked
        return before_ns, deadline_ns - left_ms * 1_000_000, after_ns

    before_ns, counted_from_ns, after_ns = asyncio.run(talk())
    assert before_ns <= counted_from_ns <= after_ns


def test_a_call_that_would_outlive_its_caller_is_refused_at_once() -> None:
    place = Place()

    async def talk() -> Client:
        client = Client(place, [(b"x-farthing-timeout-ms", b"1")])
        client.send(BODY)
        await client.ask()
        return client

    client = asyncio.run(talk())
    assert client.status == 503
    assert json.loads(client.body)["type"] == "urn:farthing:problem:deadline-too-near"
    assert int(client.headers[b"retry-after"]) >= 1
    assert not place.batcher.waiting


def test_an_outcome_that_cannot_be_told_ends_its_request_and_not_the_thread() -> None:
    place = Place()

    def broken(outcome: Outcome) -> Any:
        raise ValueError

    async def talk() -> None:
        envelope = generate_envelope(10_000, "local")
        call = place.pipeline.begin(Classify(), BODY, envelope)
        asked = asyncio.ensure_future(
            waiting.Waiting(place.pipeline, call, broken).reply(asyncio.Queue().get)  # type: ignore[arg-type]
        )
        await until(lambda: place.batcher.waiting)
        await asyncio.to_thread(place.batcher.compute)
        with pytest.raises(ValueError):
            await asked

    asyncio.run(talk())
