"""Mutated bytes, guided by coverage: whatever comes in, it is answered or refused."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.functions.server import ROOT, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

RUNS = {"handler": 3000, "body": 1000, "event": 1000}
# All runs take a few seconds; a busy machine may need many times as long.
TOTAL_S = 600
RUN_S = 120
# The same seed makes the same mutations, so a failure can be had again.
SEED = 1
NOISE_FILES = 400
NOISE_BYTES = 96


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """Sample events, the bodies within them, and noise that chooses edits of sample events."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    for file in sorted((ROOT / "functions").glob("*/events/*.json")):
        name = f"{file.parents[1].name}-{file.name}"
        shutil.copyfile(file, folder / name)
        body = json.loads(file.read_text(encoding="utf-8")).get("body")
        if body is not None:
            (folder / f"body-{name}").write_text(body, encoding="utf-8")
    noise = random.Random(SEED)
    for index in range(NOISE_FILES):
        (folder / f"noise-{index}").write_bytes(noise.randbytes(NOISE_BYTES))
    return folder


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="NOTHING IS FUZZED: atheris is not installed (it has no build for Python 3.14 yet)",
)
@pytest.mark.parametrize("target", RUNS)
def test_no_input_breaks_the_promise(
    models_dir: Path, tmp_path: Path, seeds: Path, target: str
) -> None:
    environ = {
        "AWS_LAMBDA_FUNCTION_NAME": "farthing-embed",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-east-1",
        "FARTHING_MODELS": str(models_dir),
    }
    run = subprocess.run(
        [
            *(sys.executable, "-m", "tests.functions.fuzz_target", target),
            f"-atheris_runs={RUNS[target]}",
            f"-seed={SEED}",
            f"-max_total_time={TOTAL_S}",
            "-max_len=4096",
            f"-timeout={RUN_S}",
            "-rss_limit_mb=4096",
            f"-artifact_prefix={tmp_path}/",
            str(seeds),
        ],
        cwd=ROOT,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=2 * TOTAL_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Done {RUNS[target]}" in run.stderr + run.stdout
