"""Bad searches, rankings and changes over real HTTP: refused or answered, never a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.test_bad_input import DEEP, JSON, MB, Bad, assert_refused, bad

if TYPE_CHECKING:
    from tests.functions.server import Server

SEARCH, INDEX, TEI, COHERE = "/v1/search", "/v1/index", "/rerank", "/v2/rerank"
QUERY = "cordless drill"

REQUESTS = {
    "an empty body": Bad(400, "malformed-body", SEARCH, b""),
    "no JSON": Bad(400, "malformed-body", SEARCH, b"cordless drill"),
    "invalid UTF-8": Bad(400, "malformed-body", SEARCH, b'{"query": "\xff\xfe"}'),
    "half a surrogate pair": Bad(400, "malformed-body", SEARCH, b'{"query": "a \\ud83d"}'),
    "half of one in a filter": Bad(
        400, "malformed-body", SEARCH, b'{"query": "a", "filter": {"brand": "\\ud83d"}}'
    ),
    "plain text": Bad(
        415, "unsupported-media-type", SEARCH, b'{"query": "a"}', {"content-type": "text/plain"}
    ),
    "a form": Bad(
        415,
        "unsupported-media-type",
        TEI,
        b"query=a",
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "no query": bad(422, "invalid-request", SEARCH, {}),
    "an empty query": bad(422, "invalid-request", SEARCH, {"query": ""}),
    "a blank query": bad(422, "invalid-request", SEARCH, {"query": " \t\u3000"}),
    "several queries": bad(422, "invalid-request", SEARCH, {"query": [QUERY, QUERY]}),
    "top_k 0": bad(422, "invalid-request", SEARCH, {"query": QUERY, "top_k": 0}),
    "top_k 101": bad(422, "invalid-request", SEARCH, {"query": QUERY, "top_k": 101}),
    "top_k as text": bad(422, "invalid-request", SEARCH, {"query": QUERY, "top_k": "x"}),
    "an unknown field": bad(422, "invalid-request", SEARCH, {"query": QUERY, "limit": 3}),
    "an unknown mode": bad(422, "invalid-request", SEARCH, {"query": QUERY, "mode": "dense"}),
    "a filter on an unknown field": bad(
        422, "invalid-request", SEARCH, {"query": QUERY, "filter": {"colour": "red"}}
    ),
    "a range of words": bad(
        422, "invalid-request", SEARCH, {"query": QUERY, "filter": {"brand": {"gte": 1}}}
    ),
    "a number as a word": bad(
        422, "invalid-request", SEARCH, {"query": QUERY, "filter": {"brand": 7}}
    ),
    "a word as a number": bad(
        422, "invalid-request", SEARCH, {"query": QUERY, "filter": {"price": "cheap"}}
    ),
    "two bounds on one side": bad(
        422, "invalid-request", SEARCH, {"query": QUERY, "filter": {"price": {"gt": 1, "gte": 2}}}
    ),
    "many levels of lists": Bad(422, "invalid-request", SEARCH, b"[" * DEEP),
    "many levels in a filter": Bad(
        422, "invalid-request", SEARCH, b'{"query": "a", "filter": {"brand": ' + b"[" * DEEP
    ),
    "many levels of filters": Bad(
        422, "invalid-request", SEARCH, b'{"query": "a", "filter": ' + b'{"a":' * DEEP
    ),
    "many levels of documents": Bad(
        422, "invalid-request", COHERE, b'{"query": "a", "documents": ' + b"[" * DEEP
    ),
    "many levels of columns": Bad(
        422, "invalid-request", INDEX, b'{"upserts": [' + b'{"a":' * DEEP
    ),
    "a query of 200,000 characters": bad(413, "input-too-long", SEARCH, {"query": "a" * 200_000}),
    "a body of 10 MB": bad(413, "body-too-large", SEARCH, {"query": "a" * 10 * MB}),
    "another index": bad(404, "unknown-model", SEARCH, {"query": QUERY, "index": "nowhere"}),
    "another model": bad(
        404, "unknown-model", COHERE, {"query": QUERY, "documents": ["a"], "model": "gpt-4"}
    ),
    "no documents": bad(422, "invalid-request", COHERE, {"query": QUERY, "documents": []}),
    "1,001 documents": bad(
        422, "invalid-request", COHERE, {"query": QUERY, "documents": ["a"] * 1001}
    ),
    "documents of another shape": bad(
        422, "invalid-request", COHERE, {"query": QUERY, "documents": [{"title": "a"}]}
    ),
    "no texts": bad(422, "invalid-request", TEI, {"query": QUERY, "texts": []}),
    "Cohere's request to TEI's route": bad(
        422, "invalid-request", TEI, {"query": QUERY, "documents": ["a"]}
    ),
    "a change where none is taken": bad(403, "forbidden", INDEX, {"deletes": ["p1"]}),
    "no change": bad(422, "invalid-request", INDEX, {}),
    "GET of a search": Bad(405, "method-not-allowed", SEARCH, b"", JSON, "GET"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_bad_request_is_refused_with_its_reason_and_costs_nothing(
    shop_server: Server, name: str
) -> None:
    request = REQUESTS[name]
    answer = shop_server.client.request(
        request.method, request.path, content=request.content, headers=request.headers
    )
    assert_refused(answer, request.status, request.problem)
    assert shop_server.is_running


ODD_QUERIES = {
    "operators": 'title:drill AND (cordless OR NOT "bosch"~2) IN [a TO b] +x -y ^3 \\ / {} *?',
    "one operator": "AND",
    "quotes": '""""',
    "a colon": "title:",
    "only stop words": "the of and in",
    "only punctuation": "!?…—",
    "10,000 words": "drill " * 10_000,
    "10,000 different words": " ".join(f"word{n}" for n in range(10_000)),
    "one long word": "x" * 99_999,
    "control characters": "drill\x00\x01\x1b[31m",
    "Chinese": "无绳电钻",
    "Arabic, right to left": "مثقاب لاسلكي \u202e",
    "emoji": "🔩🪛 drill",
    "combining marks": "e\u0301" * 1000,
    "no characters that Unicode has": "\uffff\ufffe",
}


@pytest.mark.parametrize("mode", ["default", "bm25"])
@pytest.mark.parametrize("name", ODD_QUERIES)
def test_an_odd_query_is_text_like_any_other(shop_server: Server, name: str, mode: str) -> None:
    request = {"query": ODD_QUERIES[name], "mode": mode, "top_k": 100, "explain": True}
    answer = shop_server.client.post("/v1/search", json=request)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["results"]) <= 100
    json.dumps(answer.json(), allow_nan=False)


def test_an_operator_finds_the_words_beside_it(shop_server: Server) -> None:
    request = {"query": "NOT drill AND hammer", "mode": "bm25", "top_k": 1}
    (hit,) = shop_server.client.post(SEARCH, json=request).json()["results"]
    assert hit["id"] == "p3"


def test_an_unknown_filter_is_told_the_known_fields(shop_server: Server) -> None:
    answer = shop_server.client.post(SEARCH, json={"query": QUERY, "filter": {"colour": "red"}})
    assert "brand, price" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SEARCH, {"query": QUERY, "filter": {"4111-1111": "x"}}),
        (SEARCH, {"query": QUERY, "filter": {"price": "4111-1111"}}),
        (SEARCH, {"query": QUERY, "filter": {"price": {"4111-1111": 1}}}),
        (SEARCH, {"query": QUERY, "index": "4111-1111"}),
        (SEARCH, {"query": QUERY, "mode": "4111-1111"}),
        (COHERE, {"query": QUERY, "documents": [{"4111-1111": "a"}]}),
        (TEI, {"query": QUERY, "texts": ["a"], "truncation_direction": "4111-1111"}),
    ],
)
def test_a_refusal_does_not_repeat_what_was_sent(
    shop_server: Server, path: str, body: dict[str, Any]
) -> None:
    answer = shop_server.client.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert "4111" not in answer.text
