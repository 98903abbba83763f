"""One invocation, once through: what it answers, what it costs and who pays."""

from __future__ import annotations

import base64
import json
import logging
import math
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from farthing.billing.meter import HOUSE, meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.billing.tenants import PICO_PER_USD, Budget, Tenant
from farthing.serving.accounts import Accounts
from farthing.serving.claims import Claims
from farthing.serving.contracts.classify import Classify
from farthing.serving.contracts.embeddings import Embeddings
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.answerer import LABELS, LetterModel

if TYPE_CHECKING:
    from farthing.serving.outcome import Outcome

CLASSIFY, EMBED = Classify(), Embeddings()


class Bench:
    """A pipeline with its model within reach."""

    def __init__(self, **overrides: object) -> None:
        self.settings = read_settings({}, memory_mb=1024, arch="x86_64", **overrides)
        self.model = LetterModel()
        embedder = LetterModel("letter-vectors", "embed")
        models = {"classify": [self.model], "embed": [embedder]}
        meter = meter_of(read_price_book(), self.settings)
        self.accounts = Accounts(self.settings)
        self.pipeline = Pipeline(self.settings, models, meter, SharedTime(), self.accounts)

    def classify(self, payload: object, timeout_ms: int = 3_600_000) -> Outcome:
        return self._invoke(CLASSIFY, payload, timeout_ms)

    def embed(self, payload: object) -> Outcome:
        return self._invoke(EMBED, payload, 3_600_000)

    def _invoke(self, contract: Classify | Embeddings, payload: object, timeout_ms: int) -> Outcome:
        envelope = Envelope("attempt-1", deadline_after(timeout_ms), "acme")
        return self.pipeline.invoke(contract, payload, envelope)


def test_an_answer_carries_its_usage_its_charge_and_its_headers() -> None:
    outcome = Bench().classify(b'{"inputs": ["banana", "abcdefghijkl"]}')
    assert outcome.status == 200
    usage, charge = outcome.body["usage"], outcome.body["charge"]
    assert usage["prompt_tokens"] == 6 + 8
    assert usage["truncated"] == 1
    assert usage["memory_mb"] == 1024
    assert usage["cold"] is False
    assert charge["basis"] == "simulated"
    assert outcome.headers["X-Farthing-Cost-USD"] == charge["total"]
    assert outcome.headers["X-Litellm-Response-Cost"] == charge["total"]
    assert outcome.headers["X-Request-Id"] == "attempt-1"
    assert outcome.booked_to == "acme"


def test_labels_come_best_first_and_top_k_cuts_them() -> None:
    bench = Bench()
    (labels,) = bench.classify({"inputs": "aaab1"}).body["results"]
    assert [item["label"] for item in labels] == list(LABELS)
    assert labels[0]["score"] == pytest.approx(0.6)
    (one,) = bench.classify({"inputs": "aaab1", "top_k": 1}).body["results"]
    assert one == labels[:1]


def test_base64_and_float_embeddings_are_the_same_numbers() -> None:
    bench = Bench()
    floats = bench.embed({"input": ["aaab1", "xyz"]}).body["data"]
    encoded = bench.embed({"input": ["aaab1", "xyz"], "encoding_format": "base64"}).body["data"]
    for number, text in zip(floats, encoded, strict=True):
        vector = np.frombuffer(base64.b64decode(text["embedding"]), dtype="<f4")
        assert vector.tolist() == number["embedding"]


def test_fewer_dimensions_keep_length_one() -> None:
    (item,) = Bench().embed({"input": "aab1", "dimensions": 2}).body["data"]
    assert len(item["embedding"]) == 2
    assert np.linalg.norm(item["embedding"]) == pytest.approx(1)


def test_the_same_request_answers_alike_as_body_and_as_event() -> None:
    bench = Bench()
    request = {"inputs": ["banana"], "top_k": 2}
    as_body = bench.classify(json.dumps(request).encode()).body["results"]
    assert bench.classify(request).body["results"] == as_body


REFUSED = [
    (b"", 400, "malformed-body"),
    (b"inputs=banana", 400, "malformed-body"),
    (b'{"inputs": "\xff"}', 400, "malformed-body"),
    (b'{"inputs": "a", "top_k": NaN}', 400, "malformed-body"),
    (b'["banana"]', 422, "invalid-request"),
    (b'{"inputs": 7}', 422, "invalid-request"),
    (b'{"inputs": []}', 422, "invalid-request"),
    (b'{"inputs": ""}', 422, "invalid-request"),
    (b'{"inputs": ["a", " \\n"]}', 422, "invalid-request"),
    (b'{"inputs": "a", "topk": 1}', 422, "invalid-request"),
    (b'{"inputs": "a", "top_k": 0}', 422, "invalid-request"),
    (b'{"inputs": "a", "top_k": 4}', 422, "invalid-request"),
    (b'{"inputs": "a", "model": "gpt"}', 404, "unknown-model"),
    ({"inputs": "half \ud800"}, 422, "invalid-request"),
    ({"inputs": ["a"] * 2049}, 422, "invalid-request"),
    ({"inputs": "a" * 100_001}, 413, "input-too-long"),
    (None, 422, "invalid-request"),
    (7, 422, "invalid-request"),
]


@pytest.mark.parametrize(("payload", "status", "code"), REFUSED)
def test_a_refusal_is_priced_0_and_its_cost_goes_to_the_house(
    payload: object, status: int, code: str
) -> None:
    outcome = Bench().classify(payload)
    assert (outcome.status, outcome.body["type"]) == (status, f"urn:farthing:problem:{code}")
    assert outcome.body["status"] == status
    assert outcome.price.total == 0
    assert outcome.body["charge"]["total"] == outcome.headers["X-Farthing-Cost-USD"] == "0"
    assert outcome.booked_to == HOUSE
    assert outcome.cost.total > 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b'{"inputs": "\xff"}', "it is not UTF-8"),
        (b'{"inputs": "a', "ends too early"),
        (b'{"inputs": "\\ud800"}', "half of a surrogate pair"),
        (b"inputs=banana", "invalid character"),
    ],
)
def test_a_body_that_is_not_json_is_told_why(body: bytes, reason: str) -> None:
    assert reason in str(Bench().classify(body).body["detail"])


def test_no_refusal_repeats_what_was_sent() -> None:
    for payload in ({"inputs": "secret", "model": "secret"}, {"inputs": ["secret", ""]}):
        assert b"secret" not in msgspec.json.encode(Bench().classify(payload).body)


def test_an_answer_that_would_not_fit_is_refused_before_it_is_computed() -> None:
    bench = Bench(payload_max_bytes=8192)
    bench.model.on_compute = lambda: pytest.fail("computed an answer that cannot be sent")
    outcome = bench.embed({"input": ["abc"] * 40})
    assert outcome.body["type"] == "urn:farthing:problem:answer-too-large"
    assert "base64" in str(outcome.body["detail"])
    assert bench.embed({"input": ["abc"] * 40, "encoding_format": "base64"}).status == 200


@pytest.mark.parametrize("inputs", [1, 7, 31])
@pytest.mark.parametrize("fields", [{}, {"encoding_format": "base64"}, {"dimensions": 2}])
def test_no_answer_is_larger_than_was_reckoned(inputs: int, fields: dict[str, object]) -> None:
    bench = Bench()
    outcome = bench.embed({"input": ["Aa0!"] * inputs, **fields})
    request = msgspec.convert({"input": ["Aa0!"] * inputs, **fields}, EMBED.request_type)
    reckoned = inputs * EMBED.row_bytes_max(request, bench.model) + 4096
    assert len(msgspec.json.encode(outcome.body)) <= reckoned


def test_too_little_time_is_refused_with_retry_after() -> None:
    outcome = Bench().classify({"inputs": "banana"}, timeout_ms=40)
    assert outcome.status == 503
    assert outcome.headers["retry-after"] == "1"
    assert outcome.price.total == 0


def test_time_that_runs_out_between_texts_is_refused_before_the_platform_kills() -> None:
    bench = Bench()
    deadlines = iter([deadline_after(3_600_000), deadline_after(3_600_000), deadline_after(0)])
    computed = []
    bench.model.on_compute = lambda: computed.append(1)

    class Shrinking(Envelope, frozen=True):
        @property
        def remaining_ns(self) -> int:
            return msgspec.structs.replace(
                Envelope("a", 0, "acme"), deadline_ns=next(deadlines)
            ).remaining_ns

    outcome = bench.pipeline.invoke(
        CLASSIFY, {"inputs": ["a", "b", "c"]}, Shrinking("a", 0, "acme")
    )
    assert outcome.status == 503
    assert len(computed) == 1


def test_the_first_invocation_carries_the_start_and_only_the_first() -> None:
    bench = Bench()
    bench.pipeline.instance.started(init_ns=700_000_000_000)
    first, second = (bench.classify({"inputs": "banana"}) for _ in range(2))
    assert first.body["usage"]["cold"] is True
    assert first.body["usage"]["billed_ms"] >= 700_000
    assert second.body["usage"]["cold"] is False
    assert second.body["usage"]["billed_ms"] < 700_000


def test_a_copy_of_a_snapshot_says_once_that_it_was_restored() -> None:
    bench = Bench()
    bench.pipeline.instance.snapshot()
    first, second = (bench.classify({"inputs": "banana"}) for _ in range(2))
    assert (first.usage.restored, first.usage.cold, first.usage.init_ns) == (True, True, 0)
    assert (second.usage.restored, second.usage.cold) == (False, False)


def test_a_refused_first_invocation_books_the_start_to_the_house() -> None:
    bench = Bench()
    bench.pipeline.instance.started(init_ns=700_000_000)
    refused = bench.classify(b"")
    assert refused.booked_to == HOUSE
    assert refused.cost.billed_ms >= 700
    assert bench.classify({"inputs": "banana"}).usage.cold is False


def test_a_plan_changes_the_price_and_never_the_cost() -> None:
    outcome = Bench(plans='[{"name": "double", "markup": "2"}]', plan="double").classify(
        {"inputs": "banana"}
    )
    assert outcome.price.total == 2 * outcome.cost.total
    assert outcome.body["charge"]["total"] == outcome.headers["X-Farthing-Cost-USD"]


def test_a_fault_answers_500_without_a_price_and_logs_no_input(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    quoted = "s" + "ecret"

    def fail() -> None:
        raise ZeroDivisionError(quoted)

    bench.model.on_compute = fail
    with caplog.at_level(logging.ERROR, "farthing"):
        outcome = bench.classify({"inputs": "secret"})
    assert outcome.status == 500
    assert outcome.price.total == 0
    assert outcome.booked_to == HOUSE
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text
    assert bench.classify(b"").status == 400, "the next invocation is served"


def test_a_call_whose_key_turns_out_revoked_leaves_nothing_held() -> None:
    bench = Bench(ledger="memory:", recorder="none")
    store, leases = bench.accounts.store, bench.accounts.leases
    assert store is not None
    assert leases is not None
    budget = Budget("month", PICO_PER_USD)
    sold = []
    for revoked in ((), ("k1",)):
        store.put_tenant(Tenant(name="acme", budgets=(budget,), revoked=revoked))
        leases.close()
        claims = Claims("k1", "acme", 0, 2**40)
        envelope = Envelope("attempt-1", deadline_after(3_600_000), "acme", caller=claims)
        outcome = bench.pipeline.invoke(CLASSIFY, {"inputs": "banana"}, envelope)
        assert outcome.status == (401 if revoked else 200), outcome.body
        sold.append(outcome.price.total)
    leases.close()
    spent_pico = PICO_PER_USD - next(iter(store.free("acme", time.time_ns() // 10**6).values()))[0]
    assert spent_pico == math.ceil(sum(sold) * PICO_PER_USD) > 0
