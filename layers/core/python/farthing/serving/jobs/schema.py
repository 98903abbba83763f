"""Jobs as `/openapi.json` describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farthing.serving.exchange import JSON, PROBLEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import FastAPI

JOB_PATH = "/v1/jobs/{id}"
JOB = {"$ref": "#/components/schemas/Job"}
SCHEMAS: dict[str, dict[str, object]] = {
    "Job": {
        "type": "object",
        "description": "A request that may wait, and what it came to.",
        "required": ["id", "object", "status", "task", "model", "created", "usage"],
        "properties": {
            "id": {"type": "string", "pattern": "^job_[0-9a-f]{32}$"},
            "object": {"const": "job"},
            "status": {"enum": ["queued", "succeeded", "failed", "cancelled"]},
            "task": {"type": "string"},
            "model": {"type": "string"},
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "finished": {"type": "integer", "description": "Seconds since 1970."},
            "usage": {
                "type": "object",
                "properties": {"prompt_tokens": {"type": "integer", "minimum": 0}},
            },
            "charge": {
                "description": "Quoted while it waits: its price is never higher.",
                "allOf": [{"$ref": "#/components/schemas/Charge"}],
            },
            "quote": {"$ref": "#/components/schemas/Charge"},
            "response": {"type": "object", "description": "The answer that the route gives."},
            "problem": {"$ref": "#/components/schemas/Problem"},
        },
    },
}
ACCEPTED: dict[str, Any] = {
    "description": "With priority low: the job that the request became, with its quote",
    "content": {JSON: {"schema": JOB}},
    "headers": {"Location": {"schema": {"type": "string"}}},
}
TELLING = {
    401: "A key is needed, or the one sent is not valid any more",
    403: "The key does not reach this",
    404: "The tenant has no such job, or nothing may wait here",
    422: "This is no job's id",
    429: "The key calls more often than it may; see Retry-After",
    503: "Jobs cannot be read just now; see Retry-After",
}
CANCELLING = TELLING | {409: "The job has ended"}


def document_jobs(app: FastAPI, never_called: Callable[..., Any]) -> None:
    """Adds the routes of a job."""
    _document(app, "GET", "A request that may wait, and what it came to", TELLING, never_called)
    _document(app, "DELETE", "Cancel a job that still waits", CANCELLING, never_called)


def _document(
    app: FastAPI,
    method: str,
    summary: str,
    refusals: Mapping[int, str],
    never_called: Callable[..., Any],
) -> None:
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": meaning, "content": problem} for code, meaning in refusals.items()
    }
    responses[200] = {"description": "The job", "content": {JSON: {"schema": JOB}}}
    app.add_api_route(
        JOB_PATH,
        never_called,
        methods=[method],
        summary=summary,
        operation_id=f"{method.lower()}_job",
        responses=responses,
        openapi_extra={
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        },
    )
