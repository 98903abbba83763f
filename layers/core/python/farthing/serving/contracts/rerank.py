"""`POST /v1/rerank`, `/v2/rerank` (Cohere's shapes) and `/rerank` (TEI's): documents in the order
in which they answer a query.

https://docs.cohere.com/reference/rerank and
https://huggingface.github.io/text-embeddings-inference/#/Text%20Embeddings%20Inference/rerank
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from farthing.errors import InputTooLong
from farthing.serving import limits
from farthing.serving.contracts.texts import Text, answer_schema
from farthing.serving.ports import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Ranked, Reranker, Work
    from farthing.settings import Settings

DOCUMENTS_MAX = 1000
COHERES_MODELS = "rerank-"
# Scores so near to 0 and 1 that their log-odds would be endless.
ODDS_MIN = 1e-6

Positive = Annotated[int, msgspec.Meta(ge=1)]
Score = {"type": "number", "minimum": 0, "maximum": 1}
Index = {"type": "integer", "minimum": 0}


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as an object, as Cohere's first version has it."""

    text: str


class RerankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Documents may be blank; they score 0. `top_n` leaves all when absent.

    Cohere's clients have to name a model: any of Cohere's (`rerank-…`) means the one served here,
    which the answer names.
    """

    query: Text
    documents: Annotated[list[str | Document], msgspec.Meta(min_length=1, max_length=DOCUMENTS_MAX)]
    model: str | None = None
    top_n: Positive | None = None
    max_tokens_per_doc: Positive | None = None
    return_documents: bool = False

    def __post_init__(self) -> None:
        if self.model is not None and self.model.startswith(COHERES_MODELS):
            msgspec.structs.force_setattr(self, "model", None)


class TeiRerankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts may be blank; they score 0. `raw_scores` are log-odds of the others.

    Long texts are cut unless `truncate` is false.
    """

    query: Text
    texts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=DOCUMENTS_MAX)]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"


class _Rerank:
    """What the shapes share: one answerer, one order."""

    task = "rerank"
    answered_by = "rerank"
    names = "model"
    is_cached = False
    statuses: Sequence[int] = (200,)

    def _work(
        self,
        query: str,
        documents: Sequence[str],
        answerer: Reranker,
        settings: Settings,
        *,
        tokens_max: int | None = None,
        echoed: bool,
    ) -> Work:
        limits.check_inputs([query], settings)
        for index, document in enumerate(documents):
            limits.check_text(document, index, settings)
        if echoed:
            limits.check_results_fit(
                [
                    {"index": index, "document": {"text": text}}
                    for index, text in enumerate(documents)
                ],
                "leave the documents out of it",
                settings,
            )
        return answerer.prepare_ranking(query, documents, document_tokens_max=tokens_max)


def _best_first(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


class Rerank(_Rerank):
    """Cohere's route of one of its versions."""

    request_type: type[msgspec.Struct] = RerankRequest
    answer_schema = answer_schema(
        "StagedCharge",
        id={"type": "string"},
        model={"type": "string"},
        results={
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "relevance_score"],
                "properties": {
                    "index": Index,
                    "relevance_score": Score,
                    "document": {"type": "object", "properties": {"text": {"type": "string"}}},
                },
            },
        },
        meta={"type": "object"},
    )

    def __init__(self, version: Literal["1", "2"]) -> None:
        self._version = version
        self.path = f"/v{version}/rerank"
        self.operation = f"rerank_v{version}"
        self.summary = f"Rank documents by how they answer a query (Cohere's shape, v{version})"

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"query": texts[0], "documents": list(texts[1:])}

    def work(self, request: RerankRequest, answerer: Reranker, settings: Settings) -> Work:
        return self._work(
            request.query,
            _texts(request),
            answerer,
            settings,
            tokens_max=request.max_tokens_per_doc,
            echoed=request.return_documents,
        )

    def answer(
        self, request: RerankRequest, answerer: Reranker, result: Ranked, request_id: str
    ) -> Answer:
        texts = _texts(request)
        results = [
            {"index": index, "relevance_score": result.scores[index]}
            | ({"document": {"text": texts[index]}} if request.return_documents else {})
            for index in _best_first(result.scores)[: request.top_n]
        ]
        body: dict[str, object] = {
            "id": request_id,
            "model": answerer.name,
            "results": results,
            "meta": {"api_version": {"version": self._version}},
        }
        return Answer(body, stages_ns=result.stages_ns)


class TeiRerank(_Rerank):
    """Text Embeddings Inference's route; its bare list leaves the price to the headers."""

    path = "/rerank"
    operation = "rerank"
    summary = "Rank texts by how they answer a query (TEI's shape; the price is in the headers)"
    request_type: type[msgspec.Struct] = TeiRerankRequest
    answer_schema: dict[str, object] = {  # noqa: RUF012 - a constant, as the protocol has it
        "type": "array",
        "items": {
            "type": "object",
            "required": ["index", "score"],
            "properties": {
                "index": Index,
                "score": {"type": "number"},
                "text": {"type": "string"},
            },
        },
    }

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"query": texts[0], "texts": list(texts[1:])}

    def work(self, request: TeiRerankRequest, answerer: Reranker, settings: Settings) -> Work:
        work = self._work(
            request.query, request.texts, answerer, settings, echoed=request.return_text
        )
        if request.truncate is False and work.truncated:
            raise InputTooLong(
                f"{work.truncated} texts are longer than model {answerer.name} reads, and "
                "`truncate` is false. Shorten them, or leave truncate out."
            )
        return work

    def answer(
        self, request: TeiRerankRequest, answerer: Reranker, result: Ranked, request_id: str
    ) -> Answer:
        tell = _log_odds if request.raw_scores else float
        body: list[object] = [
            {"index": index, "score": tell(result.scores[index])}
            | ({"text": request.texts[index]} if request.return_text else {})
            for index in _best_first(result.scores)
        ]
        return Answer(body, stages_ns=result.stages_ns)


def _texts(request: RerankRequest) -> list[str]:
    return [one if isinstance(one, str) else one.text for one in request.documents]


def _log_odds(score: Any) -> float:
    """What TEI calls raw: its sigmoid is the score."""
    bounded = min(max(score, ODDS_MIN), 1 - ODDS_MIN)
    return math.log(bounded / (1 - bounded))
