"""The forge's commands as they are typed, where the training stack is not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FARTHING = Path(sys.executable).with_name("farthing")
BUNDLE = "layers/models/product-classifier"
OPTIONS = {
    "teach": ["--train", "--valid", "--test", "--text", "--label", "--teacher", "--cache"],
    "distil": ["--student", "--layers", "--epochs", "--seed", "--temperature"],
    "quantise": ["--student", "--scheme", "--bits"],
    "evaluate": ["--bundle", "--threads", "--plots", "--platform", "--rows"],
    "contest": ["--floor", "--against", "--margin", "--soft-weight", "--receipts"],
    "pack": ["--candidate", "--out", "--name", "--write-recipe"],
    "build": ["--all", "--out", "--receipts"],
    "inspect": [],
}
without_forge = pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="the training stack is installed"
)


def forge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FARTHING, "forge", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(("command", "options"), OPTIONS.items())
def test_help_teaches_every_option_and_an_example(command: str, options: list[str]) -> None:
    done = forge(command, "--help")
    assert done.returncode == 0
    assert f"Try: farthing forge {command} " in done.stdout
    for option in (*options, "--json"):
        assert f"{option} " in done.stdout, option


def test_the_group_lists_every_command() -> None:
    done = forge("--help")
    for command in OPTIONS:
        assert f" {command} " in done.stdout


def test_defaults_in_brackets_are_not_taken_for_markup() -> None:
    assert "[default: the recipe's]" in forge("contest", "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["distil", "--layers", "0"],
        ["quantise", "--scheme", "4-bit"],
        ["inspect"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    done = forge(*arguments)
    assert done.returncode == 2
    assert "Usage: farthing forge" in done.stderr


@without_forge
@pytest.mark.parametrize("command", ["contest", "inspect"])
def test_without_the_training_stack_it_says_what_to_install(command: str) -> None:
    done = forge(command, BUNDLE)
    assert done.returncode == 1
    assert "pip install 'farthing[forge]'" in done.stderr
    assert "Traceback" not in done.stderr
