"""`POST /v1/index`: documents put into an index, or taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from farthing.errors import InvalidRequest
from farthing.serving import limits
from farthing.serving.contracts.texts import answer_schema
from farthing.serving.ports import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.serving.ports import Changed, Searcher, Work
    from farthing.settings import Settings

CHANGES_MAX = 1000
ID_MAX_CHARS = 512

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX_CHARS)]
Columns = Annotated[
    dict[str, str | float | None],
    msgspec.Meta(min_length=1, description="A document's columns, its id among them."),
]


class IndexRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document whose id is known replaces that one; deletes of unknown ids change nothing."""

    upserts: Annotated[list[Columns], msgspec.Meta(max_length=CHANGES_MAX)] = []
    deletes: Annotated[list[Id], msgspec.Meta(max_length=CHANGES_MAX)] = []
    index: str | None = None


class Index:
    task = "index"
    answered_by = "search"
    names = "index"
    is_cached = False
    path = "/v1/index"
    operation = "index"
    summary = "Put documents into an index, or take them out; needs a key's scope `index`"
    statuses: Sequence[int] = (200, 202)
    request_type: type[msgspec.Struct] = IndexRequest
    answer_schema = answer_schema(
        index={"type": "string"},
        accepted={"type": "integer", "minimum": 1},
        receipt={"type": "string", "description": "Of a change that waits: status 202."},
        version={
            "type": ["integer", "null"],
            "description": "The index's version that has the change; null while it waits.",
        },
    )

    def asking(self, texts: Sequence[str]) -> dict[str, object]:
        return {"deletes": list(texts)}

    def work(self, request: IndexRequest, answerer: Searcher, settings: Settings) -> Work:
        changes = len(request.upserts) + len(request.deletes)
        if not 1 <= changes <= CHANGES_MAX:
            raise InvalidRequest(
                f"{changes} upserts and deletes were sent; one call takes 1 to {CHANGES_MAX}. "
                "Send at least one, or several calls."
            )
        limits.check_encodable(request.deletes, "`deletes`")
        limits.check_encodable(request.upserts, "`upserts`")
        for position, document in enumerate(request.upserts):
            for value in document.values():
                if isinstance(value, str):
                    limits.check_text(value, position, settings)
        return answerer.prepare_change(request.upserts, request.deletes)

    def answer(
        self, request: IndexRequest, answerer: Searcher, result: Changed, request_id: str
    ) -> Answer:
        body = {
            "index": answerer.name,
            "accepted": result.accepted,
            "receipt": result.receipt,
            "version": result.version,
        }
        return Answer(body, 202 if result.version is None else 200)
