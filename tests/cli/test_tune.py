"""`farthing tune` as it is typed: the real function, under real quotas where they can be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farthing.billing.prices import read_price_book
from farthing.cli.tuning.measure import subject_of
from farthing.cli.tuning.measure import tune as measure_tuning
from farthing.cli.tuning.quotas import ControlGroup, OneCore, find_quota

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent.parent
FARTHING = Path(sys.executable).with_name("farthing")


def tune(*arguments: str, folder: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING")}
    return subprocess.run(
        [FARTHING, "tune", *arguments],
        cwd=folder,
        env={**clean, "COLUMNS": "140", **environ},
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_the_real_function_is_timed_and_priced_at_two_sizes(
    models_dir: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "tune.png"
    before = (ROOT / "pyproject.toml").read_bytes(), (ROOT / "template.yaml").read_bytes()
    done = tune(
        *("classify", "--json", "--sizes", "512,1769,10240", "--calls", "20"),
        *("--models", str(models_dir), "--plot", str(plot)),
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    measured = [size["memory_mb"] for size in shown["sizes"]]
    assert measured == [512, 1769] or (os.cpu_count() or 1) >= 6
    for size in shown["sizes"]:
        assert 0 < size["warm_p50_ms"] <= size["warm_p95_ms"]
        # A start costs more than a call, and both more than the request alone.
        cold_million = Decimal(size["cold_usd"]["x86_64"]) * 1_000_000
        assert cold_million > Decimal(size["warm_usd_per_million"]["x86_64"]) > Decimal("0.2")
    assert shown["knee"] in {1, 2, 4, 8}
    assert shown["peak_mb"] > 20
    assert shown["method"] == find_quota().name
    assert any(f"memory_mb = {shown['cheapest_mb']}" in line for line in shown["set"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    # It says what to set, and sets nothing.
    assert before == (
        (ROOT / "pyproject.toml").read_bytes(),
        (ROOT / "template.yaml").read_bytes(),
    )


def test_outside_a_checkout_the_same_function_is_made_from_the_wheel(
    models_dir: Path, tmp_path: Path
) -> None:
    done = tune(
        *("embed", "--sizes", "1769", "--calls", "3", "--no-knee"),
        *("--models", str(models_dir), "--model", "all-minilm-l6-v2"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "To take the cheapest, set (nothing was changed)" in done.stdout
    assert "memory_mb = 1769" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing"], "there are classify, embed"),
        (["classify", "--sizes", "big"], "whole MB with commas"),
        (["classify", "--event", "missing.json"], "cannot be read as a JSON object"),
        (["classify", "--plot", "x.gif", "--sizes", "1769", "--calls", "1", "--no-knee"], ".png"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_a_sentence(arguments: list[str], why: str) -> None:
    done = tune(*arguments)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_an_event_that_the_function_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"inputs": ""}')
    done = tune("classify", "--event", str(event), "--sizes", "1769", "--calls", "1", "--no-knee")
    assert done.returncode == 1
    assert "refuses the event that it is timed with" in done.stderr


def test_a_quota_holds_a_process_to_its_share() -> None:
    quota = find_quota()
    if not quota.holds:
        pytest.skip("no control group can be made here")
    assert isinstance(quota, ControlGroup)
    # Wall time per CPU time cannot be less than the share allows, however busy the machine is.
    spin = (
        "import time\nb=time.monotonic();c=time.process_time()\n"
        "while time.process_time()-c<0.2: pass\nprint(time.monotonic()-b)"
    )
    with quota.held(250) as prefix:
        done = subprocess.run(
            [*prefix, sys.executable, "-c", spin], capture_output=True, text=True, check=True
        )
    assert float(done.stdout) > 0.2 / 0.25 * 0.8
    time.sleep(0.01)
    assert not list(Path("/sys/fs/cgroup/cpu").glob(f"farthing-tune-{os.getpid()}"))


def test_without_groups_one_core_stands_in_and_says_so() -> None:
    quota = OneCore()
    assert not quota.holds
    assert "reckoned by Lambda's rule" in quota.name
    with quota.held(289) as prefix:
        done = subprocess.run(
            [*prefix, sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.strip() == "1" or not prefix


class OneCoreOnly:
    """A place that cannot hold a share: whatever is asked, a call takes 2 ms."""

    name = "one core"
    holds = False

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(
        self, plan: Mapping[str, Any], environ: Mapping[str, str], vcpu_milli: int, memory_mb: int
    ) -> dict[str, Any]:
        self.asked.append(vcpu_milli)
        answer = {"charge": {}, "usage": {"prompt_tokens": 9}}
        calls = [2.0] * plan["calls"]
        return {
            "init_ms": 100.0,
            "first_ms": 4.0,
            "warm_ms": calls,
            "peak_mb": 50,
            "answer": answer,
        }


def test_what_is_timed_again_and_again_is_computed_each_time() -> None:
    # Where functions keep answers by default, a second call would time the cache.
    event = ROOT / "functions" / "classify" / "events" / "direct.json"
    for asked in (None, event):
        assert subject_of("classify", asked, None, []).environ["FARTHING_CACHE"] == "off"


def test_where_no_share_can_be_held_other_sizes_are_reckoned_by_lambdas_rule() -> None:
    place = OneCoreOnly()
    subject = subject_of("classify", None, None, [])
    book = read_price_book()
    tuning = measure_tuning(
        subject, place, [256, 1769], 10, book, "us-east-1", None, lambda _: None
    )
    assert set(place.asked) == {1000}
    assert [size.warm_p50_ms for size in tuning.sizes] == pytest.approx([2000 / 144, 2.0])
    assert tuning.method == "one core"
    assert tuning.tokens == 9
    assert tuning.knee is None
