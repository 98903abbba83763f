"""`farthing check deploy`, as a shell sees it: exit codes, sentences, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.deployment.conftest import ROOT, copy_checkout

if TYPE_CHECKING:
    from pathlib import Path


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    entry = "from farthing.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", entry, "check", "deploy", "--project", str(folder), *options],
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


def test_what_ships_is_clean_and_every_profile_is_priced() -> None:
    done = check(ROOT, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert {(it["platform"], it["profile"]) for it in report["profiles"]} >= {
        ("AWS Lambda", "zero"),
        ("AWS Lambda", "warm"),
        ("AWS Lambda", "cpu"),
        ("Function Compute", "zero"),
        ("Function Compute", "warm"),
        ("Knative", "zero"),
        ("Knative", "warm"),
    }


def test_a_mistake_is_named_with_its_place_and_ends_with_1(checkout: Path) -> None:
    template = checkout / "template.yaml"
    template.write_text(template.read_text().replace("TargetValue: 0.7", "TargetValue: 70", 1))
    done = check(checkout, "--no-lint")
    assert done.returncode == 1
    assert "ClassifyTracking" in done.stderr
    assert "70" in done.stderr
    # The other clouds are checked, and the table is printed, all the same.
    assert "knative clean" in done.stdout
    assert "Function Compute" in done.stdout


def test_another_priced_region_is_no_mistake_and_an_unpriced_one_is(checkout: Path) -> None:
    config = checkout / "samconfig.toml"
    shipped = config.read_text()
    config.write_text(shipped.replace('"us-east-1"', '"eu-west-1"', 2))
    done = check(checkout, "--no-lint", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    config.write_text(shipped.replace('"us-east-1"', '"eu-west-2"', 2))
    done = check(checkout, "--no-lint", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)["findings"]
    assert any(it["file"] == "samconfig.toml" and "eu-west-2" in it["says"] for it in found)


def test_a_file_that_is_gone_is_a_finding(checkout: Path) -> None:
    (checkout / "infra" / "alibaba" / "s.yaml").unlink()
    done = check(checkout, "--no-lint", "--json")
    assert done.returncode == 1
    assert any(it["file"] == "infra/alibaba/s.yaml" for it in json.loads(done.stdout)["findings"])


def test_a_folder_that_is_no_project_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("farthing: ")
    assert "Traceback" not in done.stderr
