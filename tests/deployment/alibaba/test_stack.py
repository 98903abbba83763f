"""The files are read as `s` reads them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.alibaba.stack import ACCOUNT, FOLDER, merge, read_stack
from tests.deployment.alibaba.conftest import FILES
from tests.functions.server import ROOT, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.deployment.project import Project

ENVIRONMENT = {
    name: name.lower().replace("_", "-")
    for name in ("FARTHING_KEYS", "FARTHING_LEDGER", "FARTHING_BUCKET")
}
PREVIEW_S = 300


@pytest.mark.parametrize("file", FILES)
def test_a_stack_is_what_the_tool_previews(project: Project, tmp_path: Path, file: str) -> None:
    tool = os.environ.get("SERVERLESS_DEVS") or shutil.which("s")
    if tool is None:
        pytest.skip("Serverless Devs is not installed: npm install -g @serverless-devs/s")
    ended = subprocess.run(
        [tool, "preview", "-t", file, "-o", "json"],
        cwd=ROOT / FOLDER,
        env=clean_environment({**ENVIRONMENT, "HOME": str(tmp_path)}),
        capture_output=True,
        text=True,
        timeout=PREVIEW_S,
        check=True,
    )
    shown = ended.stdout[ended.stdout.index("{\n") :].replace("${config('AccountID')}", ACCOUNT)
    previewed: dict[str, Any] = json.loads(shown)["resources"]
    read = read_stack(project, f"{FOLDER}/{file}").resources
    assert {name: it.props for name, it in read.items()} == {
        name: it["props"] for name, it in previewed.items()
    }


def test_maps_merge_and_lists_are_replaced() -> None:
    under = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(under, {"a": {"c": [3]}, "d": {"e": 2}}) == {
        "a": {"b": 1, "c": [3]},
        "d": {"e": 2},
    }
    assert under == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_the_warm_file_changes_the_floor_and_nothing_else(project: Project) -> None:
    zero = read_stack(project, f"{FOLDER}/s.yaml").resources
    warm = read_stack(project, f"{FOLDER}/s.warm.yaml").resources
    for name, resource in warm.items():
        changed = {key for key, it in resource.props.items() if zero[name].props[key] != it}
        assert changed == {"scalingConfig"}


@pytest.mark.parametrize("file", ["s.keys.yaml", "s.ledger.yaml"])
def test_opening_the_url_and_asking_for_keys_go_together(project: Project, file: str) -> None:
    for resource in read_stack(project, f"{FOLDER}/{file}").resources.values():
        assert resource.props["triggers"][0]["triggerConfig"]["authType"] == "anonymous"
        assert resource.props["environmentVariables"]["FARTHING_ACCESS"] == "keys"
        assert resource.raw["environmentVariables"]["FARTHING_KEYS"] == "${env('FARTHING_KEYS')}"


def test_the_ledgers_address_stands_in_no_file(project: Project) -> None:
    for name, resource in read_stack(project, f"{FOLDER}/s.ledger.yaml").resources.items():
        variables = resource.raw["environmentVariables"]
        assert variables["FARTHING_LEDGER"] == "${env('FARTHING_LEDGER')}"
        image = resource.props["customContainerConfig"]["image"]
        assert image.endswith(f"/farthing-{name}:{project.version}-ledger")
