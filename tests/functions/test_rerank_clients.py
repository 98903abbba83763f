"""Clients of rerankers, unchanged: Cohere's package in both versions, and TEI's payload."""

from __future__ import annotations

import json
import math
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

with warnings.catch_warnings():
    # The package's own classes warn of their future.
    warnings.simplefilter("ignore")
    import cohere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.functions.server import Server

QUERY = "what is the capital of the united states"
DOCUMENTS = [
    "Carson City is the capital city of the American state of Nevada.",
    "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific.",
    "Washington, D.C. is the capital of the United States.",
    "Capital punishment has existed in the United States since before it was a country.",
]
BEST = 2
MODEL = "all-minilm-l6-v2"


@pytest.fixture
def transport() -> Iterator[httpx.Client]:
    """A client of loopback, whatever proxy the developer has, that is closed in the end."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        yield client


def test_coheres_second_client_ranks_documents(
    shop_server: Server, transport: httpx.Client
) -> None:
    client = cohere.ClientV2("unused", base_url=shop_server.url, httpx_client=transport)
    answer = client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, top_n=3)
    assert next(one.index for one in answer.results) == BEST
    assert len(answer.results) == 3
    scores = [one.relevance_score for one in answer.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert answer.id
    assert answer.meta.api_version.version == "2"
    raw = client.with_raw_response.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    assert Decimal(raw.headers["x-farthing-cost-usd"]) > 0


def test_coheres_first_client_ranks_objects_and_gets_them_back(
    shop_server: Server, transport: httpx.Client
) -> None:
    client = cohere.Client("unused", base_url=shop_server.url, httpx_client=transport)
    documents: list[Any] = [{"text": text} for text in DOCUMENTS]
    answer = client.rerank(query=QUERY, documents=documents, return_documents=True)
    assert answer.results[0].index == BEST
    assert answer.results[0].document.text == DOCUMENTS[BEST]
    assert len(answer.results) == len(DOCUMENTS)


def test_a_client_that_names_coheres_model_is_ranked_by_ours(
    shop_server: Server, transport: httpx.Client
) -> None:
    client = cohere.ClientV2("unused", base_url=shop_server.url, httpx_client=transport)
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert answer.results[0].index == BEST
    request = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS}
    assert shop_server.client.post("/v2/rerank", json=request).json()["model"] == MODEL


def test_coheres_clients_read_our_refusals(shop_server: Server, transport: httpx.Client) -> None:
    client = cohere.ClientV2("unused", base_url=shop_server.url, httpx_client=transport)
    with pytest.raises(cohere.NotFoundError):
        client.rerank(model="gpt-4", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(cohere.UnprocessableEntityError):
        client.rerank(model=MODEL, query=" ", documents=DOCUMENTS)


def test_an_answer_tells_usage_and_price_by_stage(shop_server: Server) -> None:
    request = {"query": QUERY, "documents": DOCUMENTS}
    answer = shop_server.client.post("/v2/rerank", json=request).json()
    assert answer["usage"]["prompt_tokens"] > 40
    stages = answer["charge"]["stages"]
    assert [one["stage"] for one in stages] == ["request", "embed", "rank", "other"]
    assert sum(Decimal(one["amount"]) for one in stages) == Decimal(answer["charge"]["total"])


def test_teis_payload_gets_teis_list(shop_server: Server) -> None:
    payload = {
        "query": QUERY, "texts": DOCUMENTS, "raw_scores": False, "return_text": True,
        "truncate": True,
    }  # fmt: skip
    response = shop_server.client.post("/rerank", json=payload)
    ranked = response.json()
    assert isinstance(ranked, list)
    assert next(one["index"] for one in ranked) == BEST
    assert ranked[0]["text"] == DOCUMENTS[BEST]
    usage = json.loads(response.headers["x-farthing-usage"])
    charge = json.loads(response.headers["x-farthing-charge"])
    assert usage["prompt_tokens"] > 40
    assert charge["total"] == response.headers["x-farthing-cost-usd"]
    raw = shop_server.client.post("/rerank", json=payload | {"raw_scores": True}).json()
    assert [one["index"] for one in raw] == [one["index"] for one in ranked]
    assert 1 / (1 + math.exp(-raw[0]["score"])) == pytest.approx(ranked[0]["score"], abs=1e-5)


def test_blank_documents_score_nothing_and_disturb_nobody(shop_server: Server) -> None:
    def scores(documents: list[str]) -> dict[str, float]:
        request = {"query": QUERY, "documents": documents}
        results = shop_server.client.post("/v2/rerank", json=request).json()["results"]
        return {documents[one["index"]]: one["relevance_score"] for one in results}

    with_blanks = scores(["", *DOCUMENTS, " \n"])
    assert with_blanks.pop("") == with_blanks.pop(" \n") == 0
    assert with_blanks == pytest.approx(scores(DOCUMENTS))
    assert scores(["", " "]) == {"": 0, " ": 0}


def test_what_is_the_same_scores_the_same_in_any_order(shop_server: Server) -> None:
    documents = [*DOCUMENTS, DOCUMENTS[BEST]]
    forwards, backwards = (
        shop_server.client.post("/v2/rerank", json={"query": QUERY, "documents": order}).json()
        for order in (documents, documents[::-1])
    )
    assert [one["index"] for one in forwards["results"]][:2] == [BEST, 4], "ties keep their order"
    assert [one["relevance_score"] for one in forwards["results"]] == pytest.approx(
        [one["relevance_score"] for one in backwards["results"]]
    )


def test_long_documents_are_cut_and_counted_unless_that_is_refused(shop_server: Server) -> None:
    long = "a very long story about capitals of the world " * 200
    request = {"query": QUERY, "documents": [long, DOCUMENTS[BEST]]}
    whole = shop_server.client.post("/v2/rerank", json=request).json()
    assert whole["usage"]["truncated"] == 1
    short = shop_server.client.post("/v2/rerank", json=request | {"max_tokens_per_doc": 8}).json()
    assert short["usage"]["truncated"] == 2
    assert short["usage"]["prompt_tokens"] < whole["usage"]["prompt_tokens"]
    least = shop_server.client.post("/v2/rerank", json=request | {"max_tokens_per_doc": 1})
    assert least.status_code == 200
    tei = {"query": QUERY, "texts": [long], "truncate": False}
    refused = shop_server.client.post("/rerank", json=tei)
    assert refused.status_code == 413
    assert "truncate" in refused.json()["detail"]


def test_a_thousand_titles_are_ranked_at_once(shop_server: Server) -> None:
    documents = [f"product number {number}" for number in range(999)] + ["a red wooden chair"]
    request = {"query": "wooden chair", "documents": documents, "top_n": 1}
    answer = shop_server.client.post("/v2/rerank", json=request).json()
    assert answer["results"][0]["index"] == 999
