"""The functions under AWS's own runtime interface, one emulator per execution environment."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    SampleEvent = Callable[[str, str], Any]

FUNCTIONS = ("classify", "embed")
HTTP_EVENTS = ("apigateway-http-v2", "function-url", "alb")
# https://aws.amazon.com/lambda/pricing/ US East (N. Virginia), first tier.
USD_PER_REQUEST = Decimal("0.20") / 1_000_000
OVERHEAD_NS = 700_000
USD_PER_GB_S = {"x86_64": Decimal("0.0000166667"), "aarch64": Decimal("0.0000133334")}
MEMORY_MB = 1024
# As a load balancer's event, but with methods that no gateway sends.
NO_METHOD = {
    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:::targetgroup/a/b"}},
    "httpMethod": {"name": "POST"},
    "path": "/healthz",
    "queryStringParameters": {},
    "headers": {"content-type": "application/json"},
    "body": "{}",
    "isBase64Encoded": False,
}
# A text that fills the embedder's window of 256 pieces, and not much more: it is read in a moment.
WINDOW_TEXT = "stainless steel frost free fridge freezer 186cm " * 30
ATTEMPTS = 3


@pytest.fixture(scope="module", params=FUNCTIONS)
def warm(
    request: pytest.FixtureRequest, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Emulator, Any]]:
    """A function, its environment and the answer to the first call there."""
    log = tmp_path_factory.mktemp("lambda") / "emulator.log"
    with Emulator(request.param, {"FARTHING_MODELS": str(models_dir)}, log) as emulator:
        field = "inputs" if request.param == "classify" else "input"
        first = emulator.invoke({field: "bosch fridge freezer"})
        yield request.param, emulator, first


def body_of(answer: Any) -> dict[str, Any]:
    """The body, of a gateway's response or of a direct answer."""
    assert isinstance(answer, dict), answer
    return json.loads(answer["body"]) if "statusCode" in answer else answer


def ceil_ms(body: dict[str, Any]) -> int:
    """Whole milliseconds of what the handler took, and the runtime around it."""
    return math.ceil(round(body["usage"]["busy_ms"] * 1_000_000 + OVERHEAD_NS) / 1_000_000)


def assert_charged(body: dict[str, Any], billed_ms: int, memory_mb: int = MEMORY_MB) -> None:
    """The charge, computed again from the price page."""
    gb_s = Decimal(billed_ms) / 1000 * memory_mb / 1024
    expected = USD_PER_REQUEST + gb_s * USD_PER_GB_S[platform.machine()]
    assert body["usage"]["billed_ms"] == billed_ms
    assert body["usage"]["memory_mb"] == memory_mb
    assert Decimal(body["charge"]["total"]) == expected
    assert sum(Decimal(line["amount"]) for line in body["charge"]["lines"]) == expected
    assert (body["charge"]["basis"], body["charge"]["currency"]) == ("measured", "USD")


def test_the_first_answer_carries_the_initialisation(warm: tuple[str, Emulator, Any]) -> None:
    _, emulator, first = warm
    usage = first["usage"]
    assert usage["cold"] is True
    init_billed_ms = usage["billed_ms"] - usage["busy_ms"]
    # The process's age is known to a clock tick of 10 ms; the platform also counts its launch.
    assert emulator.init_ms / 2 < init_billed_ms <= emulator.init_ms + 11
    assert_charged(first, usage["billed_ms"])


def test_only_the_first_answer_carries_it(
    warm: tuple[str, Emulator, Any], sample_event: SampleEvent
) -> None:
    function, emulator, _ = warm
    body = emulator.invoke(sample_event(function, "direct"))
    assert body["usage"]["cold"] is False
    assert_charged(body, ceil_ms(body))


def test_a_restored_environment_carries_its_restore_and_no_initialisation(
    models_dir: Path, tmp_path: Path
) -> None:
    environ = {"FARTHING_MODELS": str(models_dir), "FARTHING_INITIALIZATION": "snap-start"}
    with Emulator("classify", environ, tmp_path / "emulator.log") as emulator:
        first, second = (emulator.invoke({"inputs": "bosch fridge"}) for _ in range(2))
    rules = [[line["rule"] for line in body["charge"]["lines"]] for body in (first, second)]
    assert "lambda.snapstart.restore" in rules[0]
    assert "lambda.snapstart.restore" not in rules[1]
    assert first["usage"]["cold"] is True
    assert first["usage"]["billed_ms"] == ceil_ms(first)


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_a_gateways_event_is_answered_as_http(
    warm: tuple[str, Emulator, Any], sample_event: SampleEvent, name: str
) -> None:
    function, emulator, _ = warm
    answer = emulator.invoke(sample_event(function, name))
    assert answer["statusCode"] == 200, answer
    assert answer["isBase64Encoded"] is False
    body = body_of(answer)
    assert body["usage"]["cold"] is False
    assert_charged(body, ceil_ms(body))
    headers = answer["headers"]
    assert headers["content-type"] == "application/json"
    assert headers["x-farthing-cost-usd"] == body["charge"]["total"]
    assert headers["x-request-id"] == emulator.request_ids[-1]


def test_a_direct_call_gets_the_body_that_http_gets(
    warm: tuple[str, Emulator, Any], sample_event: SampleEvent
) -> None:
    function, emulator, _ = warm
    direct = emulator.invoke(sample_event(function, "direct"))
    over_http = body_of(emulator.invoke(sample_event(function, "function-url")))
    measured = {"usage", "charge"}
    assert {name: direct[name] for name in direct.keys() - measured} == {
        name: over_http[name] for name in over_http.keys() - measured
    }
    for name in measured:
        assert direct[name].keys() == over_http[name].keys()


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({}, "invalid-request"),
        ({"inputs": 7, "input": 7}, "invalid-request"),
        ({"text": "bosch fridge"}, "invalid-request"),
        (["bosch fridge"], "invalid-request"),
        ("bosch fridge", "invalid-request"),
        (None, "invalid-request"),
        ({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}, "invalid-request"),
        # Half of a surrogate pair is JSON, but no text: neither as a name nor as a choice.
        ({"\ud83d": 1}, "invalid-request"),
        ({"inputs": "tv \ud83d", "input": "tv \ud83d"}, "invalid-request"),
        ({"input": "tv", "encoding_format": "\ud83d"}, "invalid-request"),
        ({"requestContext": None}, "malformed-body"),
        (NO_METHOD, "malformed-body"),
        (NO_METHOD | {"httpMethod": "BREW"}, "method-not-allowed"),
        (NO_METHOD | {"httpMethod": "BREW \ud83d"}, "method-not-allowed"),
        ({"requestContext": {"http": {"method": 7}}, "version": "2.0"}, "malformed-body"),
    ],
)
def test_a_bad_event_gets_a_problem_and_the_environment_goes_on(
    warm: tuple[str, Emulator, Any], sample_event: SampleEvent, event: Any, problem: str
) -> None:
    function, emulator, _ = warm
    body = body_of(emulator.invoke(event))
    assert body["type"] == f"urn:farthing:problem:{problem}"
    assert body["charge"]["total"] == "0"
    assert body["instance"] == emulator.request_ids[-1]
    after = emulator.invoke(sample_event(function, "direct"))
    assert after["usage"]["cold"] is False


def test_a_callers_headers_do_not_pass_for_the_platforms(
    warm: tuple[str, Emulator, Any], sample_event: SampleEvent
) -> None:
    function, emulator, _ = warm
    event = sample_event(function, "apigateway-http-v2")
    event["headers"] |= {
        "x-fc-request-id": "forged",
        "x-fc-function-memory": "128",
        "lambda-runtime-aws-request-id": "forged",
        "lambda-runtime-deadline-ms": "1",
        "x-amzn-requestid": "forged",
        "x-request-id": "forged",
    }
    answer = emulator.invoke(event)
    assert answer["statusCode"] == 200
    assert answer["headers"]["x-request-id"] == emulator.request_ids[-1] != "forged"
    body = body_of(answer)
    assert_charged(body, ceil_ms(body))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_deadline_too_near_is_refused_before_the_platform_kills(
    models_dir: Path, tmp_path: Path, *, is_first: bool
) -> None:
    # Each a text of its own: equal ones would be computed once.
    texts = [f"{number} {WINDOW_TEXT}" for number in range(2000)]
    environ = {"AWS_LAMBDA_FUNCTION_TIMEOUT": "12", "FARTHING_MODELS": str(models_dir)}
    refused: Any = None
    # A machine that stands still in the last moments has the platform end the call all the same.
    for _ in range(ATTEMPTS):
        with Emulator("embed", environ, tmp_path / "emulator.log") as emulator:
            if not is_first:
                assert "data" in emulator.invoke({"input": "bosch fridge freezer"})
            refused = emulator.invoke({"input": texts, "encoding_format": "base64"})
            if isinstance(refused, dict):
                assert "data" in emulator.invoke({"input": "bosch fridge freezer"})
                break
    assert isinstance(refused, dict), f"the platform ended every call: {refused}"
    assert refused["type"] == "urn:farthing:problem:deadline-too-near"
    assert refused["status"] == 503
    assert refused["charge"]["total"] == "0"


def test_a_function_needs_no_writable_folder(models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    folder.chmod(0o555)
    prefix = _without_root_privilege()
    attempt = subprocess.run(
        [*prefix, "mkdir", str(folder / "probe")], capture_output=True, timeout=60, check=False
    )
    assert attempt.returncode != 0, "the folder was to be read-only, and is not"
    environ = {
        "FARTHING_MODELS": str(models_dir),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "TMP": str(folder),
    }
    log = tmp_path / "emulator.log"
    with Emulator("embed", environ, log, folder=folder, prefix=prefix) as emulator:
        for _ in range(2):
            answer = emulator.invoke({"input": "bosch fridge freezer"})
            assert len(answer["data"][0]["embedding"]) == 384
        assert list(folder.iterdir()) == []


def _without_root_privilege() -> list[str]:
    """What to put before a command so that permissions bind it even when root runs it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("A READ-ONLY LAMBDA IS NOT TESTED: root needs setpriv (util-linux) for it")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
