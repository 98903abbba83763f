"""The shipped overlays are clean, honest edits stay so, and a broken file is named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farthing.deployment.knative import check
from farthing.deployment.knative.render import overlay_names, renderer
from farthing.deployment.project import Project
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.knative.conftest import Rendered

SHIPPED = (
    "batch",
    "cache",
    "canary",
    "gather",
    "hours",
    "index",
    "ledger",
    "priority",
    "queue",
    "recommend",
    "spot",
    "warm",
    "zero",
)

INDEXER = "components/index/indexer"

needs_kubectl = pytest.mark.skipif(
    renderer() is None, reason="neither kubectl nor kustomize is installed"
)


def findings(checkout: Path) -> list[str]:
    return [str(finding) for finding in check(Project.read(checkout))]


def change(checkout: Path, file: str, was: str, becomes: str) -> None:
    path = checkout / file
    text = path.read_text(encoding="utf-8")
    assert was in text, (file, was)
    path.write_text(text.replace(was, becomes), encoding="utf-8")


@needs_kubectl
def test_every_shipped_overlay_is_clean() -> None:
    project = Project.read(ROOT)
    assert overlay_names(project) == list(SHIPPED)
    assert list(check(project)) == []


@needs_kubectl
@pytest.mark.parametrize("overlay", SHIPPED)
def test_what_a_user_types_renders(overlay: str) -> None:
    command = renderer()
    assert command is not None
    done = subprocess.run(
        [*command, f"knative/overlays/{overlay}"], cwd=ROOT, capture_output=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_function_of_the_project_is_in_every_overlay(rendered: Rendered) -> None:
    wanted = {name for name, it in Project.read(ROOT).on("knative").items() if it.serves}
    for overlay in SHIPPED:
        names = {
            it["metadata"]["name"]
            for it in rendered(overlay)
            if it["apiVersion"] == "serving.knative.dev/v1" and it["kind"] == "Service"
        }
        assert wanted <= names, overlay


TAG = """
[tool.farthing.functions.tag]
layers = ["core", "inference"]
models = ["all-minilm-l6-v2"]
targets = ["http-image"]
clouds = ["knative"]
memory_mb = 1024
vcpu_milli = 1000
concurrency = 1
timeout_s = 30
"""
PIECES = (
    "Service/tag",
    "Trigger/tag",
    "Route/tag-priority",
    "VerticalPodAutoscaler/tag",
)


@needs_kubectl
def test_a_new_function_joins_by_the_pattern_and_not_by_half(checkout: Path) -> None:
    with (checkout / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write(TAG)
    found = " ".join(findings(checkout))
    assert [piece for piece in PIECES if piece not in found] == []
    service = (checkout / "knative/functions/embed.yaml").read_text(encoding="utf-8")
    (checkout / "knative/functions/tag.yaml").write_text(
        service.replace("embed", "tag"), encoding="utf-8"
    )
    change(checkout, "knative/functions/kustomization.yaml", "- embed", "- embed.yaml\n  - tag")
    for file in ("base/events", "overlays/priority/routes", "overlays/recommend/recommend"):
        path = checkout / f"knative/{file}.yaml"
        parts = path.read_text(encoding="utf-8").split("---\n")
        (embed,) = [part for part in parts if "name: embed" in part]
        path.write_text("---\n".join([*parts, embed.replace("embed", "tag")]), encoding="utf-8")
    canary = checkout / "knative/overlays/canary/kustomization.yaml"
    text = canary.read_text(encoding="utf-8")
    last = "  - target" + text.rpartition("  - target")[2]
    canary.write_text(text + last.replace("search", "tag"), encoding="utf-8")
    for file in ("images", "ledger"):
        path = checkout / f"knative/components/{file}/kustomization.yaml"
        text = path.read_text(encoding="utf-8")
        lines = [it for it in text.splitlines(keepends=True) if "farthing-embed" in it]
        path.write_text(text + "".join(lines).replace("embed", "tag"), encoding="utf-8")
    assert findings(checkout) == []


@needs_kubectl
def test_another_size_is_fine_where_every_file_says_so(checkout: Path) -> None:
    change(checkout, "pyproject.toml", "memory_mb = 1024", "memory_mb = 2048")
    named = ("classify", "embed", "search")
    for name in (*(f"functions/{it}" for it in named), INDEXER):
        change(
            checkout, f"knative/{name}.yaml", 'MEMORY_MB, value: "1024"', 'MEMORY_MB, value: "2048"'
        )
        change(checkout, f"knative/{name}.yaml", "1024Mi", "2Gi")
    assert findings(checkout) == []


@needs_kubectl
def test_honest_edits_raise_no_alarm(checkout: Path) -> None:
    images = "knative/components/images/kustomization.yaml"
    change(checkout, images, "registry.example.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com")
    change(
        checkout,
        "knative/functions/embed.yaml",
        "          resources:",
        "            - {name: FARTHING_INPUTS_MAX, value: '64'}\n"
        "            - {name: TZ, value: Europe/Berlin}\n          resources:",
    )
    warm = "knative/components/warm/kustomization.yaml"
    change(checkout, warm, 'min-scale: "1"', 'min-scale: "2"')
    change(
        checkout,
        "knative/base/namespace.yaml",
        "restricted\n---",
        "restricted\n    team: shop\n---",
    )
    with (checkout / "knative/base/events.yaml").open("a", encoding="utf-8") as events:
        events.write(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {a: b}\n"
        )
    assert findings(checkout) == []


@needs_kubectl
def test_the_readmes_patch_for_a_public_route_is_clean(checkout: Path) -> None:
    patch = (ROOT / "knative/README.md").read_text(encoding="utf-8")
    patch = patch.partition("```yaml\n")[2].partition("```")[0]
    with (checkout / "knative/overlays/zero/kustomization.yaml").open("a", encoding="utf-8") as it:
        it.write(patch)
    assert "FARTHING_KEYS" in patch
    assert findings(checkout) == []


@needs_kubectl
@pytest.mark.parametrize("overlay", ["warm", "spot", "recommend"])
def test_a_ledger_joins_any_profile_by_one_line(checkout: Path, overlay: str) -> None:
    file = f"knative/overlays/{overlay}/kustomization.yaml"
    images = "  - ../../components/images"
    change(checkout, file, images, f"  - ../../components/ledger\n{images}")
    assert findings(checkout) == []


@needs_kubectl
@pytest.mark.parametrize("overlay", ["warm", "spot", "ledger", "priority"])
def test_an_index_joins_any_profile_by_one_line(checkout: Path, overlay: str) -> None:
    file = f"knative/overlays/{overlay}/kustomization.yaml"
    images = "  - ../../components/images"
    change(checkout, file, images, f"  - ../../components/index\n{images}")
    assert findings(checkout) == []


@needs_kubectl
def test_a_mistake_in_the_base_is_said_once(checkout: Path) -> None:
    change(checkout, "knative/base/events.yaml", "broker: events\n", "broker: evnts\n")
    found = findings(checkout)
    assert len(found) == 3
    assert all(it.startswith("knative/base: Trigger/") for it in found)


@needs_kubectl
def test_what_does_not_render_is_told_in_kustomizes_words(checkout: Path) -> None:
    (checkout / "knative/components/spot/nodes.yaml").unlink()
    found = [it for it in findings(checkout) if "knative/overlays/spot: It does not render" in it]
    assert len(found) == 1
    assert "nodes.yaml" in found[0]
    assert str(checkout) not in found[0]


@needs_kubectl
def test_a_file_that_no_kustomization_names_is_found(checkout: Path) -> None:
    change(checkout, "knative/overlays/queue/kustomization.yaml", "  - scaling.yaml\n", "")
    found = findings(checkout)
    assert any("queue/scaling.yaml: No kustomization names it" in it for it in found)
    assert any("Nothing scales on a queue" in it for it in found)


@needs_kubectl
def test_a_new_version_wants_new_tags(checkout: Path) -> None:
    change(checkout, "pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    assert any("farthing-classify:0.2.0" in it for it in findings(checkout))


def test_a_missing_profile_is_named(checkout: Path) -> None:
    for file in (checkout / "knative/overlays/warm").iterdir():
        file.unlink()
    (checkout / "knative/overlays/warm").rmdir()
    assert any(
        "overlays/warm: Every cloud declares this profile" in it for it in findings(checkout)
    )


def test_without_kubectl_it_says_what_to_install(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    (finding,) = findings(checkout)
    assert "were not checked: neither kubectl nor kustomize is on the PATH" in finding
