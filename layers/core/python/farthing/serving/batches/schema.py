"""Files and batches as `/openapi.json` describes them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from farthing.serving.batches.endpoints import JSON_LINES
from farthing.serving.batches.objects import Batch, BatchRequest, File
from farthing.serving.exchange import JSON, PROBLEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI

REF: Final = "#/components/schemas/{name}"
REFUSALS: Final = {
    400: "The body is not JSON",
    401: "A key is needed, or the one sent is not valid any more",
    403: "The key does not reach this",
    404: "The tenant has no such file or batch, or nothing is kept here",
    409: "The batch has come to its end",
    413: "The file is too large, or this answer would be",
    415: "The body has the wrong content type",
    422: "The request is not valid",
    429: "The key calls more often than it may; see Retry-After",
    503: "Files cannot be kept or read just now; see Retry-After",
}
ANYWHERE: Final = (401, 403, 404, 422, 429, 503)
PAGE: Final = {"limit": {"type": "integer", "minimum": 1, "maximum": 10_000}, "after": {}}
FILES_PAGE: Final = PAGE | {"order": {"enum": ["asc", "desc"]}, "purpose": {}}
FORM: Final = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"const": "batch"},
        "file": {"type": "string", "format": "binary", "description": "One request a line."},
    },
}


class Described(NamedTuple):
    """A route; `answer` and `body` are schemas by their media types, `query` by their names."""

    method: str
    path: str
    operation: str
    summary: str
    answer: dict[str, Any]
    refusals: tuple[int, ...] = ()
    query: Mapping[str, Any] = MappingProxyType({})
    body: dict[str, Any] | None = None


def _schemas() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found, components = msgspec.json.schema_components(
        [File, Batch, BatchRequest], ref_template=REF
    )
    return list(found), components


(FILE, BATCH, REQUEST), SCHEMAS = _schemas()


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "object": {"const": "list"},
        "data": {"type": "array", "items": schema},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    }
    return _json({"type": "object", "required": list(properties), "properties": properties})


DELETED: Final = _json(
    {
        "type": "object",
        "required": ["id", "object", "deleted"],
        "properties": {"id": {"type": "string"}, "deleted": {"const": True}},
    }
)
LINES: Final = {JSON_LINES: {"schema": {"type": "string"}}}
ONE_FILE, ONE_BATCH = "/v1/files/{file_id}", "/v1/batches/{batch_id}"
ROUTES: Final = (
    Described(
        "POST",
        "/v1/files",
        "upload_file",
        "Keep a file of requests for a batch",
        _json(FILE),
        refusals=(413, 415),
        body={"multipart/form-data": {"schema": FORM}},
    ),
    Described(
        "GET",
        "/v1/files",
        "files",
        "The tenant's files, the latest first",
        _list_of(FILE),
        query=FILES_PAGE,
    ),
    Described("GET", ONE_FILE, "file", "What is known of a file", _json(FILE)),
    Described("DELETE", ONE_FILE, "delete_file", "Delete a file", DELETED),
    Described("GET", f"{ONE_FILE}/content", "file_content", "A file's lines", LINES, (413,)),
    Described(
        "POST",
        "/v1/batches",
        "create_batch",
        "Have a file's requests answered within a day, at the price of calls that may wait",
        _json(BATCH),
        refusals=(400, 413, 415),
        body=_json(REQUEST),
    ),
    Described(
        "GET",
        "/v1/batches",
        "batches",
        "The tenant's batches, the latest first",
        _list_of(BATCH),
        query=PAGE,
    ),
    Described("GET", ONE_BATCH, "batch", "A batch, and how far it is", _json(BATCH)),
    Described(
        "POST",
        f"{ONE_BATCH}/cancel",
        "cancel_batch",
        "Compute no more of a batch",
        _json(BATCH),
        refusals=(409,),
    ),
)


def document_batches(app: FastAPI, never_called: Callable[..., Any]) -> None:
    """Adds the routes of files and batches."""
    for route in ROUTES:
        problem = {PROBLEM: {"schema": {"$ref": REF.format(name="Problem")}}}
        responses: dict[int | str, dict[str, Any]] = {
            code: {"description": REFUSALS[code], "content": problem}
            for code in sorted({*ANYWHERE, *route.refusals})
        }
        responses[200] = {"description": route.summary, "content": route.answer}
        parameters = [
            {"name": name, "in": "query", "schema": schema or {"type": "string"}}
            for name, schema in route.query.items()
        ]
        parameters += [
            {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
            for part in route.path.split("/")
            if part.startswith("{")
        ]
        extra: dict[str, Any] = {"parameters": parameters}
        if route.body is not None:
            extra["requestBody"] = {"required": True, "content": route.body}
        app.add_api_route(
            route.path,
            never_called,
            methods=[route.method],
            summary=route.summary,
            operation_id=route.operation,
            responses=responses,
            openapi_extra=extra,
        )
