"""`POST /v1/search`: the documents of an index that answer a query, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from farthing.serving import limits
from farthing.serving.contracts.texts import Text, answer_schema
from farthing.serving.ports import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Found, Searcher, Work
    from farthing.settings import Settings

TOP_K_MAX = 100
CONDITIONS_MAX = 16
CHOICES_MAX = 256

Value = str | float
Condition = (
    Value | Annotated[list[Value], msgspec.Meta(min_length=1, max_length=CHOICES_MAX)]
    | dict[Literal["gt", "gte", "lt", "lte"], float]
)  # fmt: skip
Conditions = Annotated[
    dict[str, Condition],
    msgspec.Meta(
        max_length=CONDITIONS_MAX,
        description="Fields and what they must be: a value, one of several, or a range. All hold.",
    ),
]


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query in any words: none of them is an operator.

    `tiers` are the segments to ask: `hot`, `all`, or, by `auto`, cold ones where hot ones do not
    suffice.
    """

    query: Text
    top_k: Annotated[int, msgspec.Meta(ge=1, le=TOP_K_MAX)] = 10
    filter: Conditions = {}
    mode: Literal["default", "bm25"] = "default"
    explain: bool = False
    tiers: Literal["auto", "hot", "all"] = "auto"
    index: str | None = None


ANSWER_SCHEMA = answer_schema(
    "StagedCharge",
    index={"type": "string"},
    version={"type": "integer", "minimum": 1},
    results={
        "type": "array",
        "maxItems": TOP_K_MAX,
        "items": {
            "type": "object",
            "required": ["id", "score", "document"],
            "properties": {
                "id": {"type": "string"},
                "score": {"type": "number"},
                "document": {"type": "object"},
                "explain": {"type": "object", "additionalProperties": {"type": "number"}},
            },
        },
    },
)


class Search:
    task = "search"
    answered_by = "search"
    names = "index"
    is_cached = False
    path = "/v1/search"
    operation = "search"
    summary = "Search an index; documents come best first"
    statuses: Sequence[int] = (200,)
    request_type: type[msgspec.Struct] = SearchRequest
    answer_schema = ANSWER_SCHEMA

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"query": " ".join(texts)}

    def work(self, request: SearchRequest, answerer: Searcher, settings: Settings) -> Work:
        limits.check_inputs([request.query], settings)
        limits.check_encodable(request.filter, "`filter`")
        return answerer.prepare_search(
            request.query,
            top_k=request.top_k,
            where=request.filter,
            mode=request.mode,
            explain=request.explain,
            tiers=request.tiers,
        )

    def answer(
        self, request: SearchRequest, answerer: Searcher, result: Found, request_id: str
    ) -> Answer:
        results = [
            {"id": hit.id, "score": hit.score, "document": hit.document}
            | ({"explain": hit.explain} if request.explain else {})
            for hit in result.hits
        ]
        body = {"index": answerer.name, "version": result.version, "results": results}
        return Answer(body, stages_ns=result.stages_ns)
