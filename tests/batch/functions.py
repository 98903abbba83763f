"""A batch function as Lambda has it, and what came of its jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farthing.batch.events.function import BatchFunction

if TYPE_CHECKING:
    from pathlib import Path

LAMBDA = {
    "FARTHING_PLATFORM": "lambda",
    "AWS_LAMBDA_FUNCTION_NAME": "farthing-batch",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
    "AWS_REGION": "us-east-1",
    "FARTHING_BATCH_TASK": "classify",
    "FARTHING_BATCH_TEXT": "text",
    "FARTHING_BATCH_ID": "id",
    "FARTHING_MODEL": "product-classifier",
}


def environ_of(models: Path, out: str, **more: str) -> dict[str, str]:
    """`more` are settings: `batch_queue=…`."""
    given = {f"FARTHING_{name.upper()}": value for name, value in more.items()}
    return {**LAMBDA, "FARTHING_MODELS": str(models), "FARTHING_BATCH_OUT": out, **given}


def function_of(models: Path, out: str, **more: str) -> BatchFunction:
    return BatchFunction(environ_of(models, out, **more))


def rows_in(out: Path) -> list[dict[str, Any]]:
    """All rows of all jobs below a folder, in the order of their files."""
    parts = sorted(out.rglob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def rejected_in(out: Path) -> list[dict[str, Any]]:
    files = sorted(out.rglob("rejected-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def manifests_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_bytes()) for file in sorted(out.rglob("manifest.json"))]
