"""`farthing warm plan` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.typed import Done, typed

FARTHING = Path(sys.executable).with_name("farthing")
MONDAY_S = 1_793_577_600  # 2026-11-02 00:00 UTC
HOUR_S = 3600


def warm_plan(*arguments: str) -> Done:
    return typed("warm", "plan", *arguments)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Calls each ten minutes of eight hours of each day, for two weeks."""
    rows = [
        str(MONDAY_S + (day * 24 + 9) * HOUR_S + turn * 600)
        for day in range(14)
        for turn in range(48)
    ]
    file = tmp_path / "trace.csv"
    file.write_text("timestamp\n" + "\n".join(rows) + "\n")
    return str(file)


def test_a_table_and_a_sentence_say_which_way_is_cheapest(trace: str) -> None:
    done = subprocess.run(
        [FARTHING, "warm", "plan", trace, "--p99-ms", "100"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for way in ("plain", "pings", "snapshot", "schedule", "floor"):
        assert f"\n {way} " in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("Cheapest for a p99 of 100 ms: pings, every 4 min, for 0.0")


def test_json_tells_each_ways_lines_and_times(trace: str) -> None:
    done = warm_plan(trace, "--p99-ms", "100", "--p999-ms", "500", "--json", "--arch", "x86_64")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["cheapest"] == "pings"
    assert shown["target"] == {"p99_ms": 100.0, "p999_ms": 500.0}
    ways = {way["way"]: way for way in shown["ways"]}
    assert not ways["plain"]["reaches"]
    assert ways["plain"]["cold_share"] == 1.0
    assert ways["schedule"]["window"]["hour"] == 9
    assert {line["rule"] for line in ways["floor"]["lines"]} == {
        "lambda.requests",
        "lambda.provisioned_duration.x86_64",
        "lambda.provisioned.x86_64",
    }
    reaching = [float(way["usd_month"]) for way in shown["ways"] if way["reaches"]]
    assert reaching == sorted(reaching)


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ("lambda", "WarmFrom='cron(55 8 ? * MON-SUN *)'"),
        ("fc", "scheduleExpression: 'cron(0 55 8 ? * MON-SUN)', target: 1"),
        ("knative", "- {schedule: '* 9-16 * * *', timezone: Etc/UTC}"),
    ],
)
def test_the_schedule_is_printed_as_the_platform_takes_it(
    trace: str, platform: str, words: str
) -> None:
    done = warm_plan(trace, "--p99-ms", "100", "--platform", platform, "--schedule")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert done.stdout.startswith("# 1 ")


def test_a_plot_and_all_assumptions_are_given_on_request(trace: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.png"
    done = warm_plan(trace, "--p99-ms", "100", "--all", "--plot", str(file))
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(b"\x89PNG")
    for told in ("Lambda keeps an idle environment for 300 s", "Not covered:"):
        assert told in done.stdout


def test_a_target_that_no_way_reaches_is_refused_with_what_the_best_does(trace: str) -> None:
    done = warm_plan(trace, "--p99-ms", "0.5")
    assert done.returncode == 1
    assert "No way reaches a p99 of 0.5 ms: the best is" in done.stderr
    assert "plain" in done.stdout
    told = warm_plan(trace, "--p99-ms", "0.5", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["cheapest"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ([], 2, "--p99-ms"),
        (["--p99-ms", "-1"], 2, "--p99-ms"),
        (["--p99-ms", "nan"], 2, "--p99-ms"),
        (["--p99-ms", "inf"], 1, "Give one that ends"),
        (["--p99-ms", "5", "--platform", "moon"], 2, "--platform"),
        (["--p99-ms", "5", "--bundle", "nope"], 1, "there are product-classifier"),
        (["--p99-ms", "5", "--memory-mb", "64"], 1, "less than the work's 65 MB"),
        (["--p99-ms", "5", "--region", "mars-1"], 1, "in region mars-1"),
        (["--p99-ms", "5", "--plot", "plan.gif"], 1, "drawn as .png or .svg"),
        (["--p99-ms", "900", "--schedule"], 1, "has no schedule"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    trace: str, arguments: list[str], code: int, why: str
) -> None:
    done = warm_plan(trace, *arguments)
    assert done.returncode == code, done.stdout
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.touch()
    done = warm_plan(str(file), "--p99-ms", "5")
    assert done.returncode == 1
    assert "so it has no rate" in done.stderr
