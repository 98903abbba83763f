"""What the tree promises: light imports, one size of module, a wheel that holds everything."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.functions.shop import build_shop

ROOT = Path(__file__).parent.parent
LAYERS = ROOT / "layers"
HEAVY = {"numpy", "onnxruntime", "tokenizers", "starlette", "mangum"}
NEVER_ON_LAMBDA = {
    "fastapi", "pydantic", "uvicorn", "cloudevents", "typer", "rich", "boto3", "torch",
    "transformers", "huggingface_hub", "requests", "httpx", "starlette", "mangum", "asyncio",
}  # fmt: skip
LINES_MAX = 260
EVENTS = {
    "apigateway-http-v2", "function-url", "alb", "direct",
    "fc-http", "fc-invoke", "cloudevent-binary", "cloudevent-structured",
}  # fmt: skip
BATCH_EVENTS = {
    "s3", "sns-s3", "eventbridge-s3", "sqs-s3", "sqs-sns-s3", "sqs-eventbridge-s3", "sqs-fifo",
    "stepfunctions-items", "fc-oss", "fc-eventbridge", "fc-mns",
    "cloudevent-s3", "cloudevent-gcs", "cloudevent-job",
}  # fmt: skip
# Functions that no caller asks over HTTP have the events of what calls them.
EVENTS_OF = {
    "breaker": {"alarm", "budget-sns"},
    "settle": {"schedule"},
    "batch": BATCH_EVENTS,
    "indexer": {"schedule", "s3-object-created", "fc-timer", "fc-oss", "cloudevent-binary"},
}


def modules_after(statement: str, **environ: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that ran the statement."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("function", ["classify", "embed", "search"])
def test_importing_an_entry_loads_nothing_heavy(function: str) -> None:
    assert not HEAVY & modules_after(f"import functions.{function}.app")


@pytest.mark.parametrize(
    ("function", "model", "needed"),
    [
        ("classify", "product-classifier", {"onnxruntime"}),
        ("embed", "all-minilm-l6-v2", {"onnxruntime", "tokenizers"}),
    ],
)
def test_a_lambda_function_loads_its_model_in_init_and_no_server(
    function: str, model: str, needed: set[str]
) -> None:
    loaded = modules_after(
        f"import functions.{function}.app",
        AWS_LAMBDA_FUNCTION_NAME=function,
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1024",
        FARTHING_MODEL=model,
    )
    assert needed <= loaded
    assert not (NEVER_ON_LAMBDA | ({"tokenizers"} - needed)) & loaded


def test_a_lambda_function_opens_its_index_in_init_and_no_writer(tmp_path: Path) -> None:
    loaded = modules_after(
        "import functions.search.app",
        AWS_LAMBDA_FUNCTION_NAME="search",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1024",
        FARTHING_INDEX=str(build_shop(tmp_path / "shop")),
    )
    assert {"onnxruntime", "tokenizers", "tantivy", "simsimd"} <= loaded
    assert not (NEVER_ON_LAMBDA | {"pyarrow", "xgboost", "rjieba", "tempfile"}) & loaded


def test_help_needs_no_training_stack_and_no_model() -> None:
    loaded = modules_after("from farthing.cli import main")
    assert not {"torch", "transformers", "onnx", "onnxruntime", "numpy", "uvicorn"} & loaded


def test_entry_points_are_thin_and_have_events() -> None:
    for app in ROOT.glob("functions/*/app.py"):
        assert len(app.read_text().splitlines()) <= 30, app
        events = {event.stem for event in (app.parent / "events").glob("*.json")}
        assert events >= EVENTS_OF.get(app.parent.name, EVENTS), app


def test_modules_are_read_in_one_sitting() -> None:
    for module in LAYERS.glob("*/python/farthing/**/*.py"):
        assert len(module.read_text().splitlines()) <= LINES_MAX, module


def test_the_namespace_stays_open_to_every_layer() -> None:
    assert not list(LAYERS.glob("*/python/farthing/__init__.py"))


def test_the_wheel_holds_every_layer_the_price_book_and_the_bundles(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=600,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for source in LAYERS.glob("*/python/farthing/**/*.*"):
        if "__pycache__" not in source.parts:
            assert (
                source.relative_to(next(LAYERS.glob(f"{layer_of(source)}/python"))).as_posix()
                in held
            )
    for bundle in LAYERS.glob("models/*/*"):
        assert f"farthing/models/{bundle.parent.name}/{bundle.name}" in held
    assert not {name for name in held if name.startswith("functions/")}


def layer_of(source: Path) -> str:
    return source.relative_to(LAYERS).parts[0]
