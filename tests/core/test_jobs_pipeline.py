"""A request with priority low: checked as any other, quoted lower, and kept."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.meter import HOUSE, meter_of
from farthing.billing.plans import AT_COST, plan_id
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.billing.tenants import Budget, Tenant
from farthing.serving.accounts import Accounts
from farthing.serving.claims import Claims
from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.answerer import LetterModel

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.serving.outcome import Outcome

CLASSIFY, EMBED = Classify(), Embeddings()
SECRET = "whsec_" + "c2VjcmV0" * 6
LOW = {"inputs": ["banana", "abcdefghijkl"], "priority": "low"}


class Bench:
    """A pipeline whose requests may wait in a folder, and what it recorded."""

    def __init__(self, folder: Path | str | None, **overrides: object) -> None:
        jobs = None if folder is None else str(folder)
        self.settings = read_settings({}, memory_mb=1024, arch="x86_64", jobs=jobs, **overrides)
        models = {
            "classify": [LetterModel(), LetterModel("second")],
            "embed": [LetterModel("letter-vectors", "embed")],
        }
        self.accounts = Accounts(self.settings)
        self.recorded: list[dict[str, Any]] = []
        self.accounts.recorder = self  # type: ignore[assignment]
        meter = meter_of(read_price_book(), self.settings)
        self.pipeline = Pipeline(self.settings, models, meter, SharedTime(), self.accounts)

    is_full = False

    def record(self, *, key: tuple[str, int] | None = None, **fields: Any) -> None:
        self.recorded.append(fields | {"key": key})

    def close(self) -> None: ...

    def ask(self, body: object, *, attempt: str = "attempt-1", **envelope: Any) -> Outcome:
        contract = CLASSIFY if "inputs" in dict(body) else EMBED  # type: ignore[call-overload]
        given = Envelope(
            attempt, deadline_after(3_600_000), envelope.pop("tenant", "acme"), **envelope
        )
        return self.pipeline.invoke(contract, json.dumps(body).encode(), given)

    def waiting(self) -> list[Any]:
        store = self.pipeline.desk.store
        assert store is not None
        return [store.waiting(job.id) for job in store.oldest()]


def test_it_becomes_a_job_that_tells_its_quote_and_where_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.ask(LOW)
    assert outcome.status == 202
    body: Any = outcome.body
    assert outcome.headers["Location"] == f"/v1/jobs/{body['id']}"
    assert (body["object"], body["status"], body["model"]) == ("job", "queued", "letters")
    assert body["usage"] == {"prompt_tokens": 6 + 8}
    assert body["charge"]["basis"] == "quoted"
    lines = sum(Decimal(line["amount"]) for line in body["charge"]["lines"])
    assert Decimal(body["charge"]["total"]) == lines > 0
    (job,) = bench.waiting()
    assert (job.id, job.tenant, job.plan) == (body["id"], "acme", plan_id(AT_COST.low()))
    asked = json.loads(bytes(job.request))
    assert (asked["inputs"], asked["model"]) == (LOW["inputs"], "letters")


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"markup": "3"},
        {"usd_per_call": "0.001", "usd_per_million_tokens": 2},
        {"low_priority": "0.25"},
    ],
)
def test_the_quote_is_lower_than_the_price_of_the_same_call_at_once(
    tmp_path: Path, plan: dict[str, object]
) -> None:
    plans = json.dumps([{"name": "gold", **plan}])
    bench = Bench(tmp_path, plan="gold", plans=plans)
    at_once = bench.ask({"inputs": LOW["inputs"]})
    low: Any = bench.ask(LOW).body
    assert 0 < Decimal(low["charge"]["total"]) < at_once.price.total
    (job,) = bench.waiting()
    if "usd_per_call" in plan:
        # Known beforehand to the last digit, so nothing needs to bind.
        assert Decimal(low["charge"]["total"]) * 2 == at_once.price.total
        assert job.price_max_pico is None
    else:
        assert job.price_max_pico == int(Decimal(low["charge"]["total"]) * 10**12)


def test_accepting_costs_the_house_and_is_sold_for_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.ask(LOW)
    (entry,) = bench.recorded
    assert (entry["tenant"], entry["kind"], entry["status"]) == (HOUSE, "refusal", 202)
    assert outcome.price.total == 0 < outcome.cost.total
    assert outcome.headers["X-Farthing-Cost-USD"] == "0"


def test_an_embedding_may_wait_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.ask({"input": "banana", "priority": "low", "encoding_format": "base64"})
    assert outcome.status == 202
    (job,) = bench.waiting()
    assert (job.task, job.path, job.model) == ("embed", "/v1/embeddings", "letter-vectors")


def test_the_same_key_is_the_same_job_and_another_body_under_it_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first: Any = bench.ask(LOW, idempotency_key="k").body
    again: Any = bench.ask(LOW, attempt="attempt-2", idempotency_key="k").body
    assert again["id"] == first["id"]
    assert len(bench.waiting()) == 1
    for other in ({**LOW, "top_k": 1}, {**LOW, "model": "second"}):
        refused = bench.ask(other, attempt="attempt-3", idempotency_key="k")
        assert refused.status == 422
        assert "Idempotency-Key" in refused.body["detail"]  # type: ignore[call-overload]
    theirs: Any = bench.ask(LOW, tenant="globex", attempt="attempt-4", idempotency_key="k").body
    assert theirs["id"] != first["id"]


def test_without_a_key_each_attempt_is_a_job_and_a_redelivered_one_is_the_same(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    ids = [bench.ask(LOW, attempt=attempt).body["id"] for attempt in "aab"]  # type: ignore[call-overload]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü", "a\n"])
def test_an_idempotency_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    bench = Bench(tmp_path)
    outcome = bench.ask(LOW, idempotency_key=key)
    assert outcome.status == (202 if key == "" else 422)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({**LOW, "priority": "urgent"}, 422, "priority"),
        ({**LOW, "priority": None}, 422, "priority"),
        ({"inputs": "a", "webhook": "https://example.com"}, 422, "priority low"),
        ({**LOW, "webhook": "https://127.0.0.1/"}, 422, "webhook"),
        ({**LOW, "webhook": "https://169.254.169.254/latest"}, 422, "webhook"),
        ({**LOW, "webhook": "http://example.com/"}, 422, "webhook"),
        ({**LOW, "webhook": 5}, 422, "webhook"),
        ({**LOW, "webhook": "https://example.com/" + "a" * 2048}, 422, "webhook"),
        ({**LOW, "inputs": []}, 422, "inputs"),
        ({**LOW, "inputs": ["a", " "]}, 422, "blank"),
        ({**LOW, "inputs": "a" * 100_001}, 413, "characters"),
        ({**LOW, "top_k": 9}, 422, "labels"),
        ({**LOW, "model": "gpt-4"}, 404, "letters"),
    ],
)
def test_what_would_be_refused_at_once_does_not_wait(
    tmp_path: Path, body: dict[str, object], status: int, said: str
) -> None:
    bench = Bench(tmp_path, webhook_secret=SECRET)
    outcome = bench.ask(body)
    assert outcome.status == status
    assert said in outcome.body["detail"]  # type: ignore[call-overload]
    assert bench.waiting() == []


def test_a_public_webhook_is_kept_with_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, webhook_secret=SECRET)
    assert bench.ask({**LOW, "webhook": "https://example.com/hook"}).status == 202
    assert [job.webhook for job in bench.waiting()] == ["https://example.com/hook"]


def test_a_webhook_that_nobody_could_sign_is_refused_saying_what_to_set(tmp_path: Path) -> None:
    outcome = Bench(tmp_path).ask({**LOW, "webhook": "https://example.com/hook"})
    assert outcome.status == 422
    assert "FARTHING_WEBHOOK_SECRET" in outcome.body["detail"]  # type: ignore[call-overload]


def test_where_nothing_may_wait_the_refusal_says_what_to_set() -> None:
    outcome = Bench(None).ask(LOW)
    assert outcome.status == 422
    assert "FARTHING_JOBS" in outcome.body["detail"]  # type: ignore[call-overload]


def test_a_key_that_does_not_reach_the_task_makes_no_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    claims = Claims(jti="k1", sub="acme", iat=0, exp=2**40, scope="embed")
    assert bench.ask(LOW, caller=claims).status == 403
    assert bench.waiting() == []


def test_a_budget_that_is_spent_refuses_what_would_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ledger="memory:")
    assert bench.accounts.store is not None
    bench.accounts.store.put_tenant(Tenant(name="acme", budgets=(Budget("day", 0),)))
    assert bench.ask(LOW).status == 402
    assert bench.waiting() == []


@pytest.mark.parametrize("address", ["{folder}/file/jobs", "gopher://jobs", "s3://"])
def test_a_place_that_takes_nothing_is_told_as_503(tmp_path: Path, address: str) -> None:
    (tmp_path / "file").write_text("no folder")
    bench = Bench(address.replace("{folder}", str(tmp_path)))
    outcome = bench.ask(LOW)
    assert outcome.status == 503
    assert outcome.headers["retry-after"] == "5"
    assert str(tmp_path) not in outcome.body["detail"]  # type: ignore[call-overload]
