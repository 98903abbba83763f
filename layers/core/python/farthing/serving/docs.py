"""`/docs` and `/openapi.json`, generated from the endpoint table by FastAPI.

FastAPI takes longer to import than ONNX Runtime, so it is imported when somebody first looks at
the documentation and never on the way of an answer. The pages need no internet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from farthing.serving.batches import schema as batches
from farthing.serving.exchange import JSON, PROBLEM
from farthing.serving.jobs import schema as jobs
from farthing.serving.statements import GROUPS, USAGE_PATH

if TYPE_CHECKING:
    from fastapi import FastAPI

    from farthing.serving.ports import Contract
    from farthing.serving.service import Service

REF = "#/components/schemas/{name}"

SCHEMAS: dict[str, dict[str, object]] = {
    "Usage": {
        "type": "object",
        "description": "What the invocation consumed.",
        "required": ["prompt_tokens", "total_tokens", "busy_ms", "billed_ms", "memory_mb", "cold"],
        "properties": {
            "prompt_tokens": {"type": "integer", "minimum": 0},
            "total_tokens": {"type": "integer", "minimum": 0},
            "busy_ms": {"type": "number", "minimum": 0},
            "billed_ms": {"type": "integer", "minimum": 0},
            "memory_mb": {"type": "integer", "minimum": 1},
            "cold": {"type": "boolean"},
            "cache": {
                "enum": ["hit", "miss", "off"],
                "description": "hit: the cache answered all of it; off: there is none here.",
            },
            "cached_tokens": {
                "type": "integer",
                "minimum": 0,
                "description": "Those of prompt_tokens that the cache answered.",
            },
            "truncated": {
                "type": "integer",
                "minimum": 0,
                "description": "Inputs that were longer than the model's window and were cut.",
            },
        },
    },
    "Charge": {
        "type": "object",
        "description": "The price of this one invocation; money is plain decimal strings.",
        "required": ["total", "currency", "basis", "price_book", "lines"],
        "properties": {
            "total": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
            "currency": {"const": "USD"},
            "basis": {"enum": ["measured", "settled", "quoted", "simulated"]},
            "price_book": {"type": "string", "format": "date"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["rule", "quantity", "unit", "rate", "amount"],
                    "additionalProperties": {"type": "string"},
                },
            },
            "models": {
                "type": "object",
                "description": "Of a cascade: how many of the inputs each of its models answered; "
                "`stages` then tells what each took and cost.",
                "additionalProperties": {"type": "integer", "minimum": 1},
            },
        },
    },
    "StagedCharge": {
        "description": "The same, told by stage as well: the stages' amounts add up to the total.",
        "allOf": [{"$ref": REF.format(name="Charge")}],
        "required": ["stages"],
        "properties": {
            "stages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["stage", "busy_ms", "amount"],
                    "properties": {
                        "stage": {"type": "string"},
                        "busy_ms": {"type": "number", "minimum": 0},
                        "amount": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
                    },
                },
            },
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details. A refusal is priced 0.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string", "description": "The attempt's request id."},
            "charge": {"$ref": REF.format(name="Charge")},
            "error": {"type": "object", "description": "The same, for OpenAI's clients."},
        },
    },
}

REFUSALS = {
    400: "The body is not JSON",
    401: "A key is needed, or the one sent is not valid any more",
    402: "The tenant's budget is spent; `left_usd`, `resets_at` and Retry-After say when it is not",
    403: "The key does not reach this",
    404: "No such model",
    408: "The body did not come in time",
    413: "Body, input or answer too large",
    415: "Not JSON by its content type",
    422: "The request is not valid",
    429: "The key calls more often than it may, or has too many calls waiting; see Retry-After",
    503: "Too little time or room, or budgets cannot be asked; see Retry-After",
}
# In words and not as a parameter: whoever tries parameters out would send the least there is, for
# which no answer is quick enough.
PATIENCE = (
    "The header `X-Farthing-Timeout-Ms` may say how long you wait for the answer, in whole "
    "milliseconds. A call that would take longer is refused at once, with 503."
)
ANSWER_HEADERS: dict[str, dict[str, object]] = {
    "X-Farthing-Cost-USD": {"schema": {"type": "string"}},
    "X-Farthing-Budget-Warning": {
        "description": "Sent once four fifths of a budget are spent.",
        "schema": {"type": "string"},
    },
    "X-Request-Id": {"schema": {"type": "string"}},
    "Server-Timing": {
        "description": "Milliseconds of each part, and whether the cache answered.",
        "schema": {"type": "string"},
    },
}
IN_HEADERS: dict[str, dict[str, object]] = {
    f"X-Farthing-{name}": {
        "description": f"The answer's {name.lower()}, as JSON: its body has no room for it.",
        "schema": {"type": "string"},
    }
    for name in ("Usage", "Charge")
}


def build_docs(service: Service) -> FastAPI:
    """A FastAPI application that only documents: its other routes are never called."""
    app: FastAPI = FastAPIOffline(
        title="Farthing",
        description="INT8 models whose every answer carries its price.",
        redoc_url=None,
        dependencies=[Security(HTTPBearer(auto_error=False))] if service.keys else [],
    )
    for contract in service.contracts:
        _document_contract(app, contract)
    _document_get(app, "/v1/models", "The models that are served, with accuracy and digest")
    _document_usage(app)
    jobs.document_jobs(app, _never_called)
    batches.document_batches(app, _never_called)
    _document_get(app, "/healthz", "Whether the process is alive")
    _document_get(app, "/readyz", "Whether every model has made a real inference", 503)
    generated = app.openapi()
    _, request_schemas = msgspec.json.schema_components(
        [contract.request_type for contract in service.contracts], ref_template=REF
    )
    generated.setdefault("components", {}).setdefault("schemas", {}).update(
        {**request_schemas, **SCHEMAS, **jobs.SCHEMAS, **batches.SCHEMAS}
    )
    return app


def _document_contract(app: FastAPI, contract: Contract) -> None:
    problem = {"schema": {"$ref": REF.format(name="Problem")}}
    request = {"schema": {"$ref": REF.format(name=contract.request_type.__name__)}}
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": meaning, "content": {PROBLEM: problem}}
        for code, meaning in REFUSALS.items()
    }
    answer = {
        "description": "The answer, with its usage and its charge",
        "content": {JSON: {"schema": contract.answer_schema}},
        "headers": ANSWER_HEADERS if _has_room(contract) else ANSWER_HEADERS | IN_HEADERS,
    }
    responses |= dict.fromkeys(contract.statuses, answer)
    if "priority" in contract.request_type.__struct_fields__:
        responses[202] = jobs.ACCEPTED
    app.add_api_route(
        contract.path,
        _never_called,
        methods=["POST"],
        summary=contract.summary,
        description=PATIENCE,
        operation_id=contract.operation,
        responses=responses,
        openapi_extra={"requestBody": {"required": True, "content": {JSON: request}}},
    )


def _has_room(contract: Contract) -> bool:
    """Whether usage and charge are in the answer's body."""
    return contract.answer_schema["type"] == "object"


def _document_get(app: FastAPI, path: str, summary: str, *refusals: int) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": "Not yet"} for code in refusals
    }
    app.add_api_route(
        path,
        _never_called,
        methods=["GET"],
        summary=summary,
        operation_id=path.rpartition("/")[2],
        responses=responses,
    )


def _document_usage(app: FastAPI) -> None:
    problem = {PROBLEM: {"schema": {"$ref": REF.format(name="Problem")}}}
    day = {"type": "string", "format": "date"}
    app.add_api_route(
        USAGE_PATH,
        _never_called,
        methods=["GET"],
        summary="What the key's tenant used, and what it was sold for",
        operation_id="usage",
        responses={
            code: {"description": REFUSALS[code], "content": problem}
            for code in (401, 403, 404, 422, 503)
        },
        openapi_extra={
            "parameters": [
                {"name": "since", "in": "query", "schema": day, "description": "First UTC day."},
                {"name": "until", "in": "query", "schema": day, "description": "Last UTC day."},
                {"name": "by", "in": "query", "schema": {"enum": list(GROUPS)}},
            ]
        },
    )


async def _never_called() -> None:
    raise NotImplementedError
