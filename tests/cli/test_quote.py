"""`farthing quote` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FARTHING = Path(sys.executable).with_name("farthing")


def quote(*arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    return subprocess.run(
        [FARTHING, "quote", *arguments],
        cwd=ROOT,
        env={**clean, "COLUMNS": "140"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_shops_quotation_is_json_cheapest_first_and_within_ten_dollars() -> None:
    done = quote("--scenario", "shop", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["scenario"], shown["published_usd_year"]) == ("shop", 5300)
    assert shown["assumptions"]
    needed = {"platform", "profile", "memory_mb", "usd_month", "usd_year", "p50_ms", "cold_share"}
    assert all(needed <= set(option) for option in shown["options"])
    years = [option["usd_year"] for option in shown["options"]]
    assert years == sorted(years)
    assert years[0] <= 10
    platforms = {option["platform"] for option in shown["options"]}
    assert platforms >= {
        "AWS Lambda",
        "Function Compute",
        "Knative",
        "SageMaker Serverless",
        "T4",
        "V100",
        "Raspberry Pi 4",
        "Hugging Face Endpoint",
        "OpenAI",
        "Cohere",
    }


def test_a_table_tells_the_published_price_the_break_evens_and_every_assumption() -> None:
    done = quote("--scenario", "notes", "--all")
    assert done.returncode == 0, done.stderr
    for expected in (
        "Published at 610 USD a year, though its parts sum to 720.",
        "is cheaper than AWS Lambda",
        "Lambda keeps an idle environment for 300 s",
        "Left out:",
        "no ec2.c7i.vcpu.spot in region us-east-1",
    ):
        assert expected in done.stdout


@pytest.mark.parametrize("name", ["plot.png", "plot.svg"])
def test_a_trace_is_quoted_and_its_plot_is_drawn(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace.jsonl"
    rows = [{"ts": 1793606400 + 60 * turn, "ms": 5, "tokens": 30} for turn in range(200)]
    trace.write_text("\n".join(json.dumps(row) for row in rows) + "\nbroken\n")
    done = quote("--trace", str(trace), "--plot", str(tmp_path / name), "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["calls_month"] == 730 * 60
    assert any("1 bad rows were left out" in told["says"] for told in shown["assumptions"])
    begins = (tmp_path / name).read_bytes()[:60]
    assert begins.startswith(b"\x89PNG") or b"<?xml" in begins


def test_stated_figures_beat_the_bundles() -> None:
    done = quote("--calls-per-day", "100", "--p50-ms", "50", "--peak-mb", "700", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    sizes = {o["memory_mb"] for o in shown["options"] if o["profile"] == "x86_64, on demand"}
    assert sizes == {1024, 1769}
    assert min(o["p50_ms"] for o in shown["options"] if o["p50_ms"]) >= 50


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "one of --calls-per-day, --calls-per-month and --trace"),
        (["--calls-per-day", "5", "--calls-per-month", "5"], "A quotation is of one traffic"),
        (["--calls-per-day", "-5"], "from 1 a month"),
        (["--calls-per-day", "nan"], "from 1 a month"),
        (["--calls-per-day", "inf"], "from 1 a month"),
        (["--calls-per-day", "1e15"], "from 1 a month"),
        (["--scenario", "moon"], "there are shop, notes"),
        (["--calls-per-day", "5", "--bundle", "nope"], "there are product-classifier"),
        (["--calls-per-day", "5", "--region", "mars-1"], "no lambda.requests in region mars-1"),
        (["--calls-per-day", "5", "--p50-ms", "nan"], "What a call takes is not usable"),
        (["--calls-per-day", "5", "--p50-ms", "-1"], "What a call takes is not usable"),
        (["--calls-per-day", "5", "--peak-mb", "0"], "What a call takes is not usable"),
        (["--calls-per-day", "5", "--plot", "plot.gif"], "drawn as .png or .svg"),
        (["--trace", "missing.csv"], "cannot be read as text"),
        (["--calls-per-day", "5", "--tuned", "missing.json"], "not what `farthing tune --json`"),
    ],
)
def test_what_cannot_be_quoted_is_refused_in_a_sentence(arguments: list[str], why: str) -> None:
    done = quote(*arguments)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
