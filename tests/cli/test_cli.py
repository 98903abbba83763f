"""The command line as it is typed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FARTHING = Path(sys.executable).with_name("farthing")
TITLE = "bosch serie 4 freestanding fridge freezer stainless steel"


def farthing(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    return subprocess.run(
        [FARTHING, *arguments],
        cwd=ROOT,
        env={**clean, "COLUMNS": "140", **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["serve"],
        ["invoke"],
        ["models"],
        ["forge"],
        ["check", "deploy"],
        ["pack"],
        ["quote"],
        ["tune"],
        *(["keys", name] for name in ("init", "create", "list", "budget", "revoke")),
        *(
            ["bill", name]
            for name in (*("usage", "invoice", "seal", "receipt", "verify", "settle", "reconcile"),)
        ),
    ],
)
def test_help_teaches_every_command(command: list[str]) -> None:
    done = farthing(*command, "--help")
    assert done.returncode == 0
    assert "Usage: farthing" in done.stdout


def test_invoke_shows_the_answer_and_every_line_of_its_charge(models_dir: Path) -> None:
    done = farthing("invoke", "classify", TITLE, "--models", str(models_dir))
    assert done.returncode == 0, done.stderr
    for expected in ("Fridge Freezers", "lambda.requests", "lambda.duration", "simulated", "total"):
        assert expected in done.stdout


@pytest.mark.parametrize("platform", ["lambda", "fc", "knative"])
def test_invoke_json_is_for_machines_and_prices_as_asked(platform: str, models_dir: Path) -> None:
    done = farthing(
        "invoke", "embed", TITLE, "b", "--json", "--platform", platform, "--models", str(models_dir)
    )
    answer = json.loads(done.stdout)
    assert len(answer["data"]) == 2
    lines = answer["charge"]["lines"]
    assert all(line["rule"].startswith(f"{platform}.") for line in lines)
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(answer["charge"]["total"])


@pytest.mark.parametrize("function", ["classify", "embed"])
def test_invoke_replays_every_sample_event(function: str, models_dir: Path) -> None:
    for event in sorted((ROOT / "functions" / function / "events").glob("*.json")):
        done = farthing(
            "invoke", function, "--event", str(event), "--json", "--models", str(models_dir)
        )
        assert done.returncode == 0, (event.name, done.stderr)
        # What a PingSource sends is answered by nothing, since nobody reads it.
        is_silent = event.name == "cloudevent-ping.json"
        assert ("charge" in json.loads(done.stdout)) is not is_silent, event.name


def test_a_refusal_exits_1_with_its_reason_on_stderr(models_dir: Path) -> None:
    done = farthing("invoke", "classify", " ", "--models", str(models_dir))
    assert done.returncode == 1
    assert "Input 0 is blank" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["invoke", "paint", "x"], "There is no function 'paint'"),
        (["invoke", "classify"], "either texts or --event"),
        (["invoke", "classify", "x", "--event", "README.md"], "either texts or --event"),
        (["invoke", "classify", "--event", "README.md"], "cannot be read as a JSON event"),
        (["invoke", "classify", "x", "--model", "gpt"], "asked for was gpt"),
        (["invoke", "classify", "x", "--models", "/nowhere"], "holds no bundle"),
        (["serve", "--host", "0.0.0.0"], "FARTHING_KEYS is empty"),
        (["serve", "--host", "192.0.2.1"], "FARTHING_KEYS is empty"),
        (["serve", "--port", "{taken}"], "cannot be listened on"),
        (["keys", "create", "--tenant", "House of Cards"], "A tenant's name has"),
        (["keys", "create", "--tenant", "shop", "--scope", "paint"], "no scope 'paint'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_1(
    arguments: list[str], said: str, models_dir: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = [argument.replace("{taken}", port) for argument in arguments]
        done = farthing(*arguments, FARTHING_MODELS=str(models_dir))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_models_lists_size_accuracy_digest_and_licence(models_dir: Path) -> None:
    rows = {
        row["name"]: row
        for row in json.loads(farthing("models", "--json", "--models", str(models_dir)).stdout)
    }
    assert rows["product-classifier"]["bytes"] <= 8_000_000
    assert rows["all-minilm-l6-v2"]["bytes"] <= 24_000_000
    for row in rows.values():
        assert {"accuracy", "digest", "licence", "origin"} < row.keys()
        assert row["name"] in farthing("models", "--models", str(models_dir)).stdout


def test_an_unusable_variable_is_refused_by_its_name(models_dir: Path) -> None:
    done = farthing("serve", FARTHING_MODELS=str(models_dir), FARTHING_MEMORY_MB="plenty")
    assert done.returncode == 1
    assert "FARTHING_MEMORY_MB is not usable" in done.stderr


def test_an_option_beats_its_variable(models_dir: Path) -> None:
    def memory_mb(*options: str) -> int:
        done = farthing(
            *("invoke", "classify", TITLE, "--json", *options),
            FARTHING_MODELS=str(models_dir),
            FARTHING_MEMORY_MB="2048",
        )
        usage = json.loads(done.stdout)["usage"]
        assert isinstance(usage["memory_mb"], int)
        return usage["memory_mb"]

    assert memory_mb() == 2048
    assert memory_mb("--memory-mb", "512") == 512
