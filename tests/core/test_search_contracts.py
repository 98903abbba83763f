"""Search, re-ranking and writing through the pipeline: shapes, stages, refusals, bookings."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.billing.meter import HOUSE, meter_of
from farthing.billing.prices import read_price_book
from farthing.billing.shares import SharedTime
from farthing.serving.accounts import Accounts
from farthing.serving.claims import Claims
from farthing.serving.contracts.index import Index
from farthing.serving.contracts.rerank import Rerank, TeiRerank
from farthing.serving.contracts.search import Search
from farthing.serving.envelope import Envelope, deadline_after
from farthing.serving.pipeline import Pipeline
from farthing.settings import read_settings
from tests.core.searcher import WaitingIndex, WordIndex, WordRanker

if TYPE_CHECKING:
    from farthing.serving.outcome import Outcome

SEARCH, INDEX, TEI = Search(), Index(), TeiRerank()
COHERE = {version: Rerank(version) for version in ("1", "2")}
SURROGATE = "half \ud800"


class Bench:
    """A pipeline with two indexes and a ranker."""

    def __init__(self, *, index: WordIndex | None = None, **overrides: object) -> None:
        settings = read_settings({}, memory_mb=1024, arch="x86_64", **overrides)
        self.index = index or WordIndex()
        models = {"search": [self.index, WordIndex("others")], "rerank": [WordRanker()]}
        meter = meter_of(read_price_book(), settings)
        self.pipeline = Pipeline(settings, models, meter, SharedTime(), Accounts(settings))

    def ask(self, contract: Any, payload: object, scope: str | None = None) -> Outcome:
        caller = None if scope is None else Claims("k1", "acme", 0, 2**40, scope=scope)
        envelope = Envelope("attempt-1", deadline_after(3_600_000), "acme", caller=caller)
        return self.pipeline.invoke(contract, payload, envelope)


def told_charge(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome.body, dict):
        return msgspec.json.decode(msgspec.json.encode(outcome.body["charge"]))
    return json.loads(outcome.headers["X-Farthing-Charge"])


def test_a_search_answers_with_hits_their_version_and_what_each_stage_cost() -> None:
    outcome = Bench().ask(SEARCH, b'{"query": "red chair", "top_k": 2}')
    assert outcome.status == 200
    assert outcome.body["index"] == "words"
    assert outcome.body["version"] == 1
    first, second = outcome.body["results"]
    assert first == {"id": "d1", "score": 2.0, "document": {"title": "red cotton chair"}}
    assert second["score"] == 1.0
    assert outcome.body["usage"]["prompt_tokens"] == 2
    charge = outcome.body["charge"]
    assert [stage["stage"] for stage in charge["stages"]] == [
        "request", "lexical", "fetch", "other",
    ]  # fmt: skip
    assert sum(Decimal(stage["amount"]) for stage in charge["stages"]) == Decimal(charge["total"])
    busy_ms = sum(stage["busy_ms"] for stage in charge["stages"])
    assert busy_ms == pytest.approx(outcome.body["usage"]["busy_ms"])
    timing = outcome.headers["Server-Timing"]
    assert [part.partition(";")[0] for part in timing.split(", ")] == [
        "prepare", "compute", "lexical", "fetch",
    ]  # fmt: skip


def test_explain_is_told_only_to_whom_asks() -> None:
    (hit,) = Bench().ask(SEARCH, {"query": "lamp", "explain": True}).body["results"]
    assert hit["explain"] == {"words": 1.0}
    (hit,) = Bench().ask(SEARCH, {"query": "lamp"}).body["results"]
    assert "explain" not in hit


def test_nothing_found_is_an_answer() -> None:
    outcome = Bench().ask(SEARCH, {"query": "ocelot"})
    assert (outcome.status, outcome.body["results"]) == (200, [])
    assert outcome.booked_to == "acme"


def test_a_request_may_name_its_index() -> None:
    assert Bench().ask(SEARCH, {"query": "lamp", "index": "others"}).body["index"] == "others"
    refused = Bench().ask(SEARCH, {"query": "lamp", "index": "nowhere"})
    assert refused.body["type"] == "urn:farthing:problem:unknown-model"
    assert "words, others" in refused.body["detail"]
    assert "nowhere" not in refused.body["detail"]


REFUSED = [
    (SEARCH, b"", 400),
    (SEARCH, b'{"query": "a", "filter": ' + b'{"a": ' * 100_000, 422),
    (SEARCH, b'{"query": "a", "filter": {"a": ' + b"[" * 100_000, 422),
    (SEARCH, {}, 422),
    (SEARCH, {"query": ""}, 422),
    (SEARCH, {"query": " \t\u3000"}, 422),
    (SEARCH, {"query": ["red", "chair"]}, 422),
    (SEARCH, {"query": "a", "top_k": 0}, 422),
    (SEARCH, {"query": "a", "top_k": 101}, 422),
    (SEARCH, {"query": "a", "top_k": "x"}, 422),
    (SEARCH, {"query": "a", "mode": "fast"}, 422),
    (SEARCH, {"query": "a", "topk": 3}, 422),
    (SEARCH, {"query": "a", "filter": "brand=bosch"}, 422),
    (SEARCH, {"query": "a", "filter": {"price": {"above": 3}}}, 422),
    (SEARCH, {"query": "a", "filter": {"price": {"gte": "3"}}}, 422),
    (SEARCH, {"query": "a", "filter": {"price": []}}, 422),
    (SEARCH, {"query": "a", "filter": {"price": ["x"] * 257}}, 422),
    (SEARCH, {"query": "a", "filter": {"price": True}}, 422),
    (SEARCH, {"query": "a", "filter": {f"f{n}": "x" for n in range(17)}}, 422),
    (SEARCH, {"query": "a", "filter": {"brand": SURROGATE}}, 422),
    (SEARCH, {"query": "a", "filter": {SURROGATE: "bosch"}}, 422),
    (SEARCH, {"query": SURROGATE}, 422),
    (SEARCH, {"query": "a" * 100_001}, 413),
    (COHERE["2"], {"query": "a"}, 422),
    (COHERE["2"], {"query": "a", "documents": []}, 422),
    (COHERE["2"], {"query": "a", "documents": ["b"] * 1001}, 422),
    (COHERE["2"], {"query": "", "documents": ["b"]}, 422),
    (COHERE["2"], {"query": "a", "documents": ["b"], "top_n": 0}, 422),
    (COHERE["2"], {"query": "a", "documents": [SURROGATE]}, 422),
    (COHERE["1"], {"query": "a", "documents": [{"title": "b"}]}, 422),
    (COHERE["1"], {"query": "a", "documents": [7]}, 422),
    (COHERE["1"], {"query": "a", "documents": ["b"], "model": "gpt-4"}, 404),
    (TEI, {"query": "a", "texts": []}, 422),
    (TEI, {"query": "a", "texts": "b"}, 422),
    (TEI, {"query": "a", "texts": ["b"], "truncation_direction": "left"}, 422),
    (TEI, {"query": "a", "texts": ["b " * 501], "truncate": False}, 413),
    (INDEX, {}, 422),
    (INDEX, {"upserts": [{}]}, 422),
    (INDEX, {"upserts": [{"id": "1", "tags": ["x"]}]}, 422),
    (INDEX, {"upserts": [{"id": "1", "more": {"x": {}}}]}, 422),
    (INDEX, {"upserts": [{"id": "1", "title": SURROGATE}]}, 422),
    (INDEX, {"upserts": [{"id": "1", SURROGATE: "x"}]}, 422),
    (INDEX, {"deletes": [SURROGATE]}, 422),
    (INDEX, {"deletes": [""]}, 422),
    (INDEX, {"deletes": ["x" * 513]}, 422),
    (INDEX, {"deletes": ["x"] * 1001}, 422),
    (INDEX, {"deletes": ["x"] * 501, "upserts": [{"id": "1"}] * 500}, 422),
    (INDEX, {"upserts": [{"id": "1", "title": "x" * 100_001}]}, 413),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_answered_is_refused_free_of_charge(number: int) -> None:
    contract, payload, status = REFUSED[number]
    outcome = Bench().ask(contract, payload)
    assert outcome.status == outcome.body["status"] == status, outcome.body
    assert outcome.price.total == 0
    assert outcome.booked_to == HOUSE
    assert outcome.body["detail"].endswith(".")


@pytest.mark.parametrize("version", ["1", "2"])
def test_coheres_shape_has_documents_best_first(version: str) -> None:
    payload = {
        "model": "word-ranker",
        "query": "red chair",
        "documents": ["a lamp", {"text": "red chair"}, "", "chair"],
        "top_n": 3,
        "return_documents": True,
    }
    body = Bench().ask(COHERE[version], payload).body
    assert body["id"] == "attempt-1"
    assert body["meta"]["api_version"]["version"] == version
    assert [(one["index"], one["relevance_score"]) for one in body["results"]] == [
        (1, 1.0), (3, 0.5), (0, 0.0),
    ]  # fmt: skip
    assert body["results"][0]["document"] == {"text": "red chair"}
    assert sum(Decimal(one["amount"]) for one in body["charge"]["stages"]) == Decimal(
        body["charge"]["total"]
    )


def test_documents_are_cut_where_the_request_says_so() -> None:
    payload = {"query": "chair", "documents": ["red chair"], "max_tokens_per_doc": 1}
    body = Bench().ask(COHERE["2"], payload).body
    assert body["results"][0]["relevance_score"] == 0
    assert body["usage"]["truncated"] == 1


def test_teis_shape_is_a_bare_list_whose_price_is_in_the_headers() -> None:
    payload = {"query": "red chair", "texts": ["lamp", "chair"], "return_text": True}
    outcome = Bench().ask(TEI, payload)
    assert outcome.body == [
        {"index": 1, "score": 0.5, "text": "chair"},
        {"index": 0, "score": 0.0, "text": "lamp"},
    ]
    charge = told_charge(outcome)
    assert charge["total"] == outcome.headers["X-Farthing-Cost-USD"] != "0"
    assert sum(Decimal(one["amount"]) for one in charge["stages"]) == Decimal(charge["total"])
    assert json.loads(outcome.headers["X-Farthing-Usage"])["prompt_tokens"] == 4


def test_teis_raw_scores_are_log_odds() -> None:
    texts = ["lamp", "chair", "red chair"]
    plain, raw = (
        Bench().ask(TEI, {"query": "red chair", "texts": texts, "raw_scores": is_raw}).body
        for is_raw in (False, True)
    )
    assert [one["index"] for one in raw] == [one["index"] for one in plain] == [2, 1, 0]
    for one, other in zip(raw, plain, strict=True):
        assert 1 / (1 + math.exp(-one["score"])) == pytest.approx(other["score"], abs=2e-6)


def test_documents_sent_back_must_fit_the_answer() -> None:
    bench = Bench(payload_max_bytes=8192)
    documents = ["chair " * 200] * 5
    payload = {"query": "chair", "documents": documents, "return_documents": True}
    assert bench.ask(COHERE["1"], payload).body["type"].endswith("answer-too-large")
    assert bench.ask(COHERE["1"], payload | {"return_documents": False}).status == 200


def test_a_change_that_is_applied_tells_its_version() -> None:
    bench = Bench()
    change = {"upserts": [{"id": "d9", "title": "green chair"}], "deletes": ["d2"]}
    outcome = bench.ask(INDEX, change)
    assert outcome.status == 200
    assert (outcome.body["version"], outcome.body["accepted"]) == (2, 2)
    assert "stages" not in outcome.body["charge"]
    found = bench.ask(SEARCH, {"query": "chair"}).body
    assert found["version"] == 2
    assert {hit["id"] for hit in found["results"]} == {"d1", "d9"}


def test_a_change_that_waits_has_a_receipt_and_another_status() -> None:
    outcome = Bench(index=WaitingIndex()).ask(INDEX, {"deletes": ["d1"]})
    assert outcome.status == 202
    assert (outcome.body["receipt"], outcome.body["version"]) == ("r-1", None)
    assert outcome.booked_to == "acme"


def test_nothing_is_written_where_writing_is_off() -> None:
    outcome = Bench(index=WordIndex(writable=False)).ask(INDEX, {"deletes": ["d1"]})
    assert outcome.status == 403


@pytest.mark.parametrize(
    ("contract", "scope"), [(SEARCH, "search"), (COHERE["2"], "rerank"), (INDEX, "index")]
)
def test_each_kind_of_call_has_its_scope(contract: Any, scope: str) -> None:
    payload = {
        "search": {"query": "chair"},
        "rerank": {"query": "chair", "documents": ["chair"]},
        "index": {"deletes": ["d1"]},
    }[scope]
    for held, status in ((scope, 200), ("*", 200), ("classify usage", 403)):
        assert Bench().ask(contract, payload, held).status == status
    others = {"search", "rerank", "index"} - {scope}
    assert Bench().ask(contract, payload, " ".join(others)).status == 403
