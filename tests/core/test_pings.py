"""Pings: what is one, that the house pays for it, and that no caller gets one."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.billing.invoices import statements_of, usage_of
from farthing.billing.ledger import Entry
from farthing.billing.meter import HOUSE, meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.recorders.line import LineRecorder, read_lines
from farthing.billing.shares import SharedTime
from farthing.billing.valuation import Valuer
from farthing.errors import InvalidRequest
from farthing.serving.accounts import Accounts
from farthing.serving.contracts.classify import Classify
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pings import HOLD_MS_MAX, Ping, answer_ping, carried, find_ping
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.answerer import LetterModel
from tests.core.entries import FC, KNATIVE, LAMBDA, MONTH, entry

if TYPE_CHECKING:
    from decimal import Decimal

    from farthing.billing.tariff import Tariff

SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
# https://aws.amazon.com/lambda/pricing/ x86 in US East, in femto-dollars: a request, and a
# gigabyte-second, of which a function of 1,024 MB uses a thousandth in a millisecond.
FEMTO_PER_REQUEST = 200_000_000
FEMTO_PER_GB_MS = 16_666_700


class Warm:
    """A pipeline as Lambda's handler has it, and the lines that its log got."""

    def __init__(self, **overrides: object) -> None:
        environ = {
            "AWS_LAMBDA_FUNCTION_NAME": "farthing-classify",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        }
        settings = read_settings(environ, arch="x86_64", overhead_us=0, cache="off", **overrides)
        self.model = LetterModel()
        self.lines: list[bytes] = []
        accounts = Accounts(settings)
        accounts.recorder = LineRecorder(self._write)
        meter = meter_of(read_price_book(), settings)
        self.pipeline = Pipeline(
            settings, {"classify": [self.model]}, meter, SharedTime(), accounts
        )

    def _write(self, line: bytes) -> int:
        self.lines.append(line)
        return len(line)

    @property
    def entries(self) -> list[Entry]:
        return list(read_lines(self.lines))

    def ping(self, event: Any, timeout_ms: int = 3_600_000, *, holds: bool = True) -> Any:
        envelope = Envelope("attempt-1", deadline_after(timeout_ms), "acme")
        return answer_ping(self.pipeline, event, envelope, holds=holds)


def femto(amount: Decimal) -> int:
    """Dollars as whole femto-dollars; anything finer would be lost, and is an error."""
    scaled = amount.scaleb(15)
    assert scaled == int(scaled)
    return int(scaled)


@pytest.mark.parametrize(
    ("event", "hold_ms"),
    [
        ({"farthing": "ping"}, 0),
        ({"farthing": "ping", "hold_ms": 50}, 50),
        ({"farthing": "ping", "hold_ms": HOLD_MS_MAX}, HOLD_MS_MAX),
        (b'{"farthing": "ping", "hold_ms": 7}', 7),
        (SCHEDULED, 0),
        (SCHEDULED | {"source": "aws.scheduler"}, 0),
        (carried(""), 0),
        (carried(None), 0),
        (carried("{}"), 0),
        (carried(b"{}"), 0),
        (carried({}), 0),
    ],
)
def test_a_platforms_schedule_is_a_ping(event: Any, hold_ms: int) -> None:
    assert find_ping(event) == Ping(hold_ms=hold_ms)


@pytest.mark.parametrize(
    "event",
    [
        {"inputs": "ping"},
        {"inputs": ["farthing", "ping"]},
        b'{"inputs": "{\\"farthing\\": \\"ping\\"}"}',
        "ping",
        "farthing",
        ["farthing"],
        None,
        7,
        b"",
        b"ping",
        b'"farthing"',
        b'{"farthing": "ping"',
        b"\xff",
        {},
        SCHEDULED | {"source": "somebody.else"},
        SCHEDULED | {"source": ["aws.events"]},
        {"source": "aws.s3", "detail-type": "Object Created"},
        carried('{"inputs": "bosch"}'),
    ],
)
def test_anything_else_is_for_the_model(event: Any) -> None:
    assert find_ping(event) is None


@pytest.mark.parametrize(
    "event",
    [
        {"farthing": "pong"},
        {"farthing": None},
        {"farthing": "ping", "hold_ms": -1},
        {"farthing": "ping", "hold_ms": HOLD_MS_MAX + 1},
        {"farthing": "ping", "hold_ms": 1e300},
        {"farthing": "ping", "hold_ms": "50"},
        {"farthing": "ping", "hold_ms": True},
        {"farthing": "ping", "inputs": "bosch"},
        {"farthing": "ping", "\ud83d": 1},
    ],
)
def test_a_ping_that_cannot_be_kept_is_refused_on_the_house(event: Any) -> None:
    with pytest.raises(InvalidRequest, match=r'Send \{"farthing": "ping"\}.* up to 1000'):
        find_ping(event)
    warm = Warm()
    outcome = warm.ping(event)
    assert (outcome.status, outcome.booked_to) == (422, HOUSE)
    (kept,) = warm.entries
    assert (kept.kind, kept.tenant, kept.status) == ("refusal", HOUSE, 422)


def test_a_ping_runs_no_model_and_is_answered_with_its_usage_and_nothing_to_pay() -> None:
    warm = Warm()

    def compute() -> None:
        raise AssertionError("a ping was computed")

    warm.model.on_compute = compute
    outcome = warm.ping({"farthing": "ping"})
    assert (outcome.status, outcome.body["pong"], outcome.booked_to) == (200, True, HOUSE)
    assert outcome.body["usage"]["cold"] is False
    assert outcome.body["usage"]["total_tokens"] == 0
    assert outcome.body["charge"]["total"] == "0"
    assert outcome.headers["X-Farthing-Cost-USD"] == "0"
    assert len(json.dumps(outcome.body)) < 512


def test_the_house_pays_for_the_ping_and_for_the_start_that_it_caused() -> None:
    warm = Warm()
    warm.pipeline.instance.started(412_000_000)
    first, second = (warm.ping({"farthing": "ping"}) for _ in range(2))
    assert (first.usage.cold, first.usage.init_ns) == (True, 412_000_000)
    assert first.body["usage"]["cold"] is True
    assert (second.usage.cold, second.usage.init_ns) == (False, 0)
    for outcome in (first, second):
        usage = outcome.usage
        billed_ms = -(-(usage.busy_ns + usage.init_ns) // 1_000_000)
        expected = FEMTO_PER_REQUEST + billed_ms * FEMTO_PER_GB_MS
        assert femto(outcome.cost.total) == expected
    answered = warm.pipeline.invoke(
        Classify(), {"inputs": "ping"}, Envelope("attempt-2", deadline_after(3_600_000), "acme")
    )
    assert (answered.status, answered.usage.cold) == (200, False)
    assert answered.body["results"][0], "a text that says ping is a text"


def test_the_ledger_tells_a_ping_from_a_refusal_and_nobody_is_invoiced() -> None:
    warm = Warm()
    warm.ping({"farthing": "ping"})
    warm.pipeline.invoke(Classify(), {}, Envelope("r", deadline_after(3_600_000), "acme"))
    warm.pipeline.invoke(
        Classify(), {"inputs": "a"}, Envelope("s", deadline_after(3_600_000), "acme")
    )
    told = [(one.kind, one.tenant, one.task) for one in warm.entries]
    assert told == [
        ("ping", HOUSE, "ping"),
        ("refusal", HOUSE, ""),
        ("answer", "acme", "classify"),
    ]


@pytest.mark.parametrize("tariff", [LAMBDA, FC, KNATIVE], ids=lambda tariff: tariff.platform)
def test_a_statement_has_the_houses_pings_apart_and_sells_none(tariff: Tariff) -> None:
    pings = [
        entry(number, kind="ping", tenant=HOUSE, task="ping", model="", tariff=tariff, busy_ns=ns)
        for number, ns in enumerate((1_000_000, 2_000_000), start=1)
    ]
    refused = entry(3, kind="refusal", tenant=HOUSE, task="", model="", tariff=tariff)
    answered = entry(4, tariff=tariff)
    entries = [*pings, refused, answered]
    valuer = Valuer({})
    assert [valuer.value(one).price.total == 0 for one in entries] == [True, True, True, False]
    rows = {row.name: row for row in usage_of(entries, valuer, MONTH, "task")[HOUSE]}
    assert set(rows) == {"", "ping"}
    row = rows["ping"]
    assert (row.calls, row.refusals, row.busy_ns, row.price) == (0, 0, 3_000_000, 0)
    assert row.cost == sum(valuer.value(one).cost.total for one in pings) > 0
    assert rows[""].refusals == 1
    assert set(statements_of(entries, valuer, MONTH)) == {"acme"}


def test_an_entry_of_a_ping_survives_its_way_through_the_ledgers_json() -> None:
    ping = entry(kind="ping", tenant=HOUSE, task="ping", model="")
    assert msgspec.json.decode(msgspec.json.encode(ping), type=Entry) == ping


def test_a_held_ping_lasts_as_asked_and_is_the_houses_time() -> None:
    warm = Warm()
    started_s = time.monotonic()
    outcome = warm.ping({"farthing": "ping", "hold_ms": 60})
    assert time.monotonic() - started_s >= 0.06
    assert outcome.usage.busy_ns >= 60_000_000


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long pings would be held, on a clock that stands still."""
    slept: list[float] = []
    clock = SimpleNamespace(perf_counter_ns=lambda: 0, sleep=slept.append)
    for module in ("envelope", "house"):
        monkeypatch.setattr(f"farthing.serving.{module}.time", clock)
    return slept


def test_a_ping_is_never_held_beyond_its_deadline(slept_s: list[float]) -> None:
    warm = Warm()
    assert warm.ping({"farthing": "ping", "hold_ms": 1000}, timeout_ms=80).status == 200
    assert slept_s == [0.03], "50 ms are left for the way back"
    assert warm.ping({"farthing": "ping", "hold_ms": 1000}, timeout_ms=1).status == 200
    assert len(slept_s) == 1


def test_where_pings_do_not_hold_they_are_answered_at_once(slept_s: list[float]) -> None:
    outcome = Warm().ping({"farthing": "ping", "hold_ms": 1000}, holds=False)
    assert (outcome.status, slept_s) == (200, [])
