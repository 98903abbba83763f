"""Warmth on each platform: pings, snapshots and frozen instances, and who pays for them."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.recorders.line import read_lines
from farthing.serving.pings import Ping, find_ping
from farthing.serving.platforms.knative import PING_TYPE
from tests.functions.books import stay_within_a_day
from tests.functions.emulator import Emulator
from tests.functions.knative import KNATIVE
from tests.functions.runtime_api import Environment
from tests.functions.server import (
    REFUSE_S,
    ROOT,
    Server,
    clean_environment,
    farthing,
    run_to_end,
    uvicorn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from farthing.billing.ledger import Entry
    from tests.conftest import Serve

    SampleEvent = Callable[[str, str], Any]

FIELDS = {"classify": "inputs", "embed": "input"}
PING = {"farthing": "ping"}
ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "farthing-classify",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "us-east-1",
}
SNAP_START = ON_LAMBDA | {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
MODELS = {"classify": "product-classifier", "embed": "all-minilm-l6-v2"}
ONE_MODEL = {"FARTHING_MODEL": MODELS["classify"]}
FUNCTION_COMPUTE = {
    "FARTHING_PLATFORM": "fc",
    "FARTHING_MEMORY_MB": "1024",
    "FARTHING_VCPU_MILLI": "500",
}
# https://aws.amazon.com/lambda/pricing/ US East, in femto-dollars: a request; a millisecond of
# 1,024 MB; and the megabytes that a restore brings back.
FEMTO_PER_REQUEST = 200_000_000
FEMTO_PER_MS = {"x86_64": 16_666_700, "aarch64": 13_333_400, "arm64": 13_333_400}
OVERHEAD_NS = 700_000
FROZEN_S = 1.2


def entries_in(output: str) -> list[Entry]:
    return list(read_lines(output.splitlines()))


def calls_in(output: str) -> list[Entry]:
    """Entries of calls. A pod's idle time is booked once a minute, whenever that is."""
    return [entry for entry in entries_in(output) if entry.kind != "idle"]


def cost_femto(entry: Entry) -> int:
    """What Lambda bills for the entry's attempt, by integers alone."""
    usage = entry.usage
    billed_ms = -(-(usage.busy_ns + usage.init_ns + OVERHEAD_NS) // 1_000_000)
    return FEMTO_PER_REQUEST + billed_ms * FEMTO_PER_MS[platform.machine()]


def milliseconds_since(began_s: float) -> float:
    return (time.perf_counter() - began_s) * 1000


def assert_houses(entry: Entry) -> None:
    assert (entry.kind, entry.tenant, entry.task) == ("ping", "house", "ping")
    assert (entry.usage.prompt_tokens, entry.plan, entry.lease) == (0, "", "")


def assert_pong(body: dict[str, Any]) -> None:
    assert body["pong"] is True
    assert body["charge"]["total"] == "0"
    assert not {"results", "data"} & body.keys()


@pytest.mark.parametrize("function", ["classify", "embed"])
def test_a_ping_starts_a_lambda_on_the_house_and_the_next_call_is_warm(
    models_dir: Path, tmp_path: Path, sample_event: SampleEvent, function: str
) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_MODEL": MODELS[function]}
    with Emulator(function, environ, tmp_path / "emulator.log") as emulator:
        first = emulator.invoke(sample_event(function, "schedule"))
        held = emulator.invoke(sample_event(function, "ping"))
        answer = emulator.invoke(sample_event(function, "direct"))
        entries = entries_in(emulator.output)
        request_ids, init_ms = emulator.request_ids, emulator.init_ms
    assert_pong(first)
    assert_pong(held)
    assert [body["usage"]["cold"] for body in (first, held, answer)] == [True, False, False]
    assert [entry.kind for entry in entries] == ["ping", "ping", "answer"]
    assert [entry.request_id for entry in entries] == request_ids
    started, kept, served = entries
    assert_houses(started)
    assert_houses(kept)
    assert init_ms / 2 < started.usage.init_ns / 1_000_000 <= init_ms + 11
    assert held["usage"]["busy_ms"] >= 50
    assert kept.usage.init_ns == served.usage.init_ns == 0
    # The caller pays for its own call, to the femto-dollar, and for nothing of the start.
    assert int(Decimal(answer["charge"]["total"]).scaleb(15)) == cost_femto(served)
    assert served.tenant != "house"


@pytest.mark.parametrize("function", ["classify", "embed", "search"])
def test_the_sample_pings_of_every_function_are_pings(
    sample_event: SampleEvent, function: str
) -> None:
    assert find_ping(sample_event(function, "schedule")) == Ping()
    assert find_ping(sample_event(function, "ping")) == Ping(hold_ms=50)
    timer = json.loads(sample_event(function, "fc-timer")["body"])
    assert find_ping(timer["payload"].encode()) == Ping()
    event = sample_event(function, "cloudevent-ping")
    assert event["headers"]["ce-type"] == PING_TYPE
    assert find_ping(event["body"].encode()) == Ping()


def gateway_event(event: dict[str, Any], body: bytes) -> dict[str, Any]:
    return event | {"body": body.decode(), "isBase64Encoded": False}


@pytest.fixture(scope="module")
def warm_lambda(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    log = tmp_path_factory.mktemp("lambda") / "emulator.log"
    environ = ONE_MODEL | {"FARTHING_MODELS": str(models_dir)}
    with Emulator("classify", environ, log) as emulator:
        yield emulator


@pytest.mark.parametrize("name", ["apigateway-http-v2", "function-url", "alb"])
@pytest.mark.parametrize("wanted", ["ping", "schedule"])
def test_nobody_pings_a_lambda_by_http(
    warm_lambda: Emulator, sample_event: SampleEvent, name: str, wanted: str
) -> None:
    body = json.dumps(sample_event("classify", wanted)).encode()
    answer = warm_lambda.invoke(gateway_event(sample_event("classify", name), body))
    assert answer["statusCode"] == 422, answer
    assert "pong" not in json.loads(answer["body"])
    assert entries_in(warm_lambda.output)[-1].kind == "refusal"


def test_a_text_that_reads_like_a_ping_is_answered_as_a_text(warm_lambda: Emulator) -> None:
    texts = ["ping", '{"farthing": "ping"}']
    answer = warm_lambda.invoke({"inputs": texts})
    assert len(answer["results"]) == len(texts)
    assert entries_in(warm_lambda.output)[-1].kind == "answer"


def test_a_ping_that_would_hold_an_environment_for_long_is_refused(warm_lambda: Emulator) -> None:
    refused = warm_lambda.invoke(PING | {"hold_ms": 60_000})
    assert (refused["status"], refused["type"]) == (422, "urn:farthing:problem:invalid-request")
    assert "1000" in refused["detail"]


def send(server: Server, event: dict[str, Any], **changed: Any) -> httpx.Response:
    event = event | changed
    return server.client.request(
        event["method"], event["path"], headers=event["headers"], content=event["body"]
    )


@pytest.fixture(scope="module")
def fc_server(serve_for_session: Serve, function: str) -> Server:
    environ = FUNCTION_COMPUTE | {"FARTHING_MODEL": MODELS[function]}
    return serve_for_session(uvicorn(function), environ)


@pytest.fixture(scope="module")
def knative_server(serve_for_session: Serve, function: str) -> Server:
    environ = KNATIVE | {"FARTHING_RECORDER": "line", "FARTHING_MODEL": MODELS[function]}
    return serve_for_session(uvicorn(function), environ)


@pytest.mark.parametrize("payload", [json.dumps(PING), "", "{}"])
def test_a_timer_of_function_compute_pings(
    fc_server: Server, sample_event: SampleEvent, function: str, payload: str
) -> None:
    event = sample_event(function, "fc-timer")
    timer = json.loads(event["body"]) | {"payload": payload}
    answer = send(fc_server, event, body=json.dumps(timer))
    assert (answer.status_code, answer.headers["x-fc-status"]) == (200, "200")
    assert_pong(answer.json())
    entry = entries_in(fc_server.output)[-1]
    assert_houses(entry)
    assert entry.request_id == event["headers"]["x-fc-request-id"]


def test_a_timer_that_carries_a_request_is_answered(
    fc_server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "fc-timer")
    request = json.dumps({FIELDS[function]: "bosch fridge freezer"})
    timer = json.loads(event["body"]) | {"payload": request}
    answer = send(fc_server, event, body=json.dumps(timer))
    assert answer.status_code == 200
    assert answer.json()["usage"]["total_tokens"] > 0
    assert entries_in(fc_server.output)[-1].kind == "answer"


def test_nobody_pings_function_compute_by_an_http_trigger(
    fc_server: Server, sample_event: SampleEvent, function: str
) -> None:
    http, timer = sample_event(function, "fc-http"), sample_event(function, "fc-timer")
    for path in (http["path"], "/invoke"):
        for body in (json.dumps(PING), timer["body"]):
            answer = send(fc_server, http, path=path, body=body)
            assert answer.status_code in {404, 422}
            assert "pong" not in answer.text
            assert entries_in(fc_server.output)[-1].kind == "refusal"


def test_no_call_of_function_compute_is_billed_for_the_time_before_it_in_which_all_was_frozen(
    fc_server: Server, sample_event: SampleEvent, function: str
) -> None:
    event = sample_event(function, "fc-invoke")
    assert send(fc_server, event).status_code == 200
    fc_server.process.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    fc_server.process.send_signal(signal.SIGCONT)
    began_s = time.perf_counter()
    answer = send(fc_server, event)
    assert answer.json()["usage"]["busy_ms"] <= milliseconds_since(began_s)
    assert {entry.kind for entry in entries_in(fc_server.output)} <= {"answer", "ping", "refusal"}


@pytest.mark.parametrize("body", [json.dumps(PING), "", "{}"])
def test_a_ping_source_of_knative_pings(
    knative_server: Server, sample_event: SampleEvent, function: str, body: str
) -> None:
    answer = send(knative_server, sample_event(function, "cloudevent-ping"), body=body)
    # What is no event would fail the delivery, so there is nothing but the price.
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-farthing-cost-usd"] == "0"
    assert not any(name.startswith("ce-") for name in answer.headers)
    entry = calls_in(knative_server.output)[-1]
    assert_houses(entry)
    assert entry.request_id == answer.headers["x-request-id"]


def test_a_ping_source_that_carries_a_request_is_answered(
    knative_server: Server, sample_event: SampleEvent, function: str
) -> None:
    body = json.dumps({FIELDS[function]: "bosch fridge freezer"})
    answer = send(knative_server, sample_event(function, "cloudevent-ping"), body=body)
    assert answer.json()["usage"]["total_tokens"] > 0
    assert answer.headers["ce-type"] == "farthing.answer.v1"


def test_words_of_a_ping_in_a_plain_request_are_refused(
    knative_server: Server, sample_event: SampleEvent, function: str
) -> None:
    path = sample_event(function, "fc-http")["path"]
    ping = sample_event(function, "cloudevent-ping")
    assert send(knative_server, ping, path=path).status_code == 422
    other = ping["headers"] | {"ce-type": "example.shop.product.listed.v1"}
    assert send(knative_server, ping, headers=other).status_code == 422
    assert calls_in(knative_server.output)[-1].kind == "refusal"


def test_where_keys_are_asked_for_no_event_is_a_ping(
    serve: Serve, sample_event: SampleEvent, tmp_path: Path
) -> None:
    entry = run_to_end(farthing("keys", "init"), {}).stdout.strip().removeprefix("FARTHING_KEYS=")
    state = {"FARTHING_KEYS": entry, "XDG_STATE_HOME": str(tmp_path / "state")}
    made = run_to_end(farthing("keys", "create", "--tenant", "acme", "--json"), state)
    key = json.loads(made.stdout)["key"]
    keyed = {"FARTHING_ACCESS": "keys", "FARTHING_KEYS": entry, "FARTHING_RECORDER": "line"}
    server = serve(uvicorn("classify"), KNATIVE | ONE_MODEL | keyed)
    event = sample_event("classify", "cloudevent-ping")
    assert send(server, event).status_code == 401
    bearing = event["headers"] | {"authorization": f"Bearer {key}"}
    assert send(server, event, headers=bearing).status_code == 422
    assert {one.kind for one in calls_in(server.output)} == {"refusal"}


def copied(
    models_dir: Path, *arguments: str, **environ: str
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries that an environment and its copies wrote, and what each copy told."""
    settings = {"FARTHING_MODELS": str(models_dir), "FARTHING_MODEL": MODELS[arguments[0]]}
    done = subprocess.run(
        [sys.executable, "-m", "tests.functions.copying", *arguments],
        cwd=ROOT,
        env=clean_environment(SNAP_START | settings | environ),
        capture_output=True,
        text=True,
        timeout=REFUSE_S,
        check=True,
    )
    lines = done.stdout.splitlines()
    return list(read_lines(lines)), [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("function", ["classify", "embed"])
def test_copies_of_a_snapshot_lose_no_entry_and_share_no_chance(
    models_dir: Path, function: str
) -> None:
    copies, calls = 4, 3
    entries, told = copied(models_dir, function, str(copies), str(calls))
    assert len({entry.key for entry in entries}) == len(entries) == 1 + copies * calls
    writers: dict[str, list[int]] = {}
    for entry in entries:
        writers.setdefault(entry.writer, []).append(entry.number)
    assert sorted(map(len, writers.values())) == [1] + [calls] * copies
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in writers.values())
    assert len({one["random"] for one in told}) == copies
    # Each copy's first call carries its restore, and no other.
    assert [one["cold"] for one in told] == [[True, False, False]] * copies
    assert sum(entry.usage.restored for entry in entries) == 1 + copies


def test_without_the_hooks_copies_would_overwrite_each_other(models_dir: Path) -> None:
    entries, told = copied(models_dir, "classify", "3", "2", "--untold")
    assert len(entries) == 1 + 3 * 2
    assert len({entry.key for entry in entries}) == 1 + 2
    assert len({one["random"] for one in told}) == 1


def test_copies_of_a_snapshot_spend_a_budget_once(models_dir: Path, tmp_path: Path) -> None:
    stay_within_a_day()
    environ = {
        "FARTHING_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "FARTHING_PLANS": '[{"name": "flat", "usd_per_call": "0.001"}]',
        "FARTHING_PLAN": "flat",
        "FARTHING_TENANT": "acme",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    budget = ("--tenant", "acme", "--budget-usd", "0.1", "--period", "month")
    assert run_to_end(farthing("keys", "budget", *budget), environ).returncode == 0
    entries, _ = copied(models_dir, "classify", "4", "40", **environ)
    # Without the hooks each would spend what the original had leased, though it was lent once.
    assert 60 < sum(entry.kind == "answer" for entry in entries) <= 100
    assert {200, 402} <= {entry.status for entry in entries}


def test_lambdas_runtime_calls_the_hooks_around_its_snapshot(
    models_dir: Path, tmp_path: Path
) -> None:
    environ = SNAP_START | ONE_MODEL | {"FARTHING_MODELS": str(models_dir)}
    with Environment("classify", environ, tmp_path / "runtime.log") as environment:
        environment.wait_for("/restore/next")
        # A snapshot may lie for days; here it lies for as long as a test may last.
        environment.process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        environment.process.send_signal(signal.SIGCONT)
        began_s = time.perf_counter()
        environment.restore()
        first, second = (environment.invoke({"inputs": "bosch fridge"}) for _ in range(2))
        took_ms = milliseconds_since(began_s)
        assert not any("error" in path for path in environment.told), environment.output
        entries = entries_in(environment.output)
    assert environment.told[0] == "/restore/next"
    assert [body["usage"]["cold"] for body in (first, second)] == [True, False]
    rules = [[line["rule"] for line in body["charge"]["lines"]] for body in (first, second)]
    assert "lambda.snapstart.restore" in rules[0]
    assert "lambda.snapstart.restore" not in rules[1]
    assert sum(body["usage"]["busy_ms"] for body in (first, second)) <= took_ms
    assert [entry.usage.init_ns for entry in entries] == [0, 0]


def test_a_ping_carries_the_restore_where_it_comes_first(models_dir: Path, tmp_path: Path) -> None:
    environ = SNAP_START | ONE_MODEL | {"FARTHING_MODELS": str(models_dir)}
    with Environment("classify", environ, tmp_path / "runtime.log") as environment:
        environment.restore()
        assert environment.invoke(PING)["usage"]["cold"] is True
        assert environment.invoke({"inputs": "bosch fridge"})["usage"]["cold"] is False
        ping, answer = entries_in(environment.output)
    assert_houses(ping)
    assert (ping.usage.restored, answer.usage.restored) == (True, False)


def test_nobody_is_billed_for_the_time_in_which_an_environment_was_frozen(
    models_dir: Path, tmp_path: Path
) -> None:
    environ = ON_LAMBDA | ONE_MODEL | {"FARTHING_MODELS": str(models_dir)}
    with Environment("classify", environ, tmp_path / "runtime.log") as environment:
        environment.invoke({"inputs": "bosch fridge"})
        environment.process.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        environment.process.send_signal(signal.SIGCONT)
        began_s = time.perf_counter()
        answers = [environment.invoke({"inputs": "bosch fridge"}), environment.invoke(PING)]
        took_ms = milliseconds_since(began_s)
        entries = entries_in(environment.output)
    assert sum(body["usage"]["busy_ms"] for body in answers) <= took_ms
    assert [entry.kind for entry in entries] == ["answer", "answer", "ping"]
    assert sum(entry.usage.busy_ns for entry in entries[1:]) <= took_ms * 1_000_000
