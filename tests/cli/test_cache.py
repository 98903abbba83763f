"""`farthing cache plan` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.typed import Done, typed

FARTHING = Path(sys.executable).with_name("farthing")


def cache_plan(*arguments: str) -> Done:
    return typed("cache", "plan", *arguments)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    file = tmp_path / "trace.csv"
    rows = [f"{1793577600 + turn},secret query {turn % 20}" for turn in range(500)]
    file.write_text("timestamp,query\n" + "\n".join(rows) + "\n")
    return str(file)


def test_a_table_and_a_sentence_say_what_a_cache_is_worth(trace: str) -> None:
    done = subprocess.run(
        [FARTHING, "cache", "plan", trace, "--text", "query"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "DynamoDB on demand" in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("Set FARTHING_CACHE=memory: it answers 96.0% of the calls")
    assert "secret" not in done.stdout + done.stderr


def test_json_has_exact_amounts_and_no_text(trace: str) -> None:
    done = cache_plan(trace, "--text", "QUERY", "--task", "classify", "--platform", "fc", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["recommended"], shown["platform"], shown["arch"]) == (
        "memory",
        "Function Compute",
        "x86_64",
    )
    assert [choice["cache"] for choice in shown["choices"][:2]] == ["off", "memory"]
    assert shown["choices"][1]["hit_ratio"] == 0.96
    assert all("e" not in choice["usd_month"].lower() for choice in shown["choices"])
    assert "secret" not in done.stdout


def test_a_plot_and_all_assumptions_are_given_on_request(trace: str, tmp_path: Path) -> None:
    done = cache_plan(trace, "--text", "query", "--all", "--plot", str(tmp_path / "plan.svg"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plan.svg").read_text().startswith("<?xml")
    for told in ("Left out:", "Alibaba's Tair (Redis)", "takes 1,800 bytes", "Not covered:"):
        assert told in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--text", "nope"], 1, "has no column nope; it has timestamp, query"),
        (["--text", "query", "--bundle", "nope"], 1, "there are product-classifier"),
        (["--text", "query", "--memory-mb", "100"], 1, "less than the work's 105 MB"),
        (["--text", "query", "--region", "mars-1"], 1, "in region mars-1"),
        (["--text", "query", "--plot", "plan.gif"], 1, "drawn as .png or .svg"),
        (["--text", "query", "--ttl", "-1"], 2, "--ttl"),
        (["--text", "query", "--ttl", "31536001"], 2, "--ttl"),
        (["--text", "query", "--platform", "moon"], 2, "--platform"),
        (["--text", "query", "--max-mb", "0"], 2, "--max-mb"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    trace: str, arguments: list[str], code: int, why: str
) -> None:
    done = cache_plan(trace, *arguments)
    assert done.returncode == code, done.stdout
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_trace_is_refused() -> None:
    done = cache_plan("missing.csv")
    assert done.returncode == 1
    assert "cannot be read as text" in done.stderr
