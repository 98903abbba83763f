"""The shipped overlays, rendered once, as documents to change at will."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.knative.render import overlay_names, render, renderer
from farthing.deployment.project import Project
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Documents = list[dict[str, Any]]
    Rendered = Callable[[str], Documents]


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.read(ROOT)


@pytest.fixture(scope="session")
def rendered(project: Project) -> Rendered:
    """`rendered("zero")`: a fresh copy of what `kubectl kustomize knative/overlays/zero` prints."""
    command = renderer()
    if command is None:
        pytest.skip("neither kubectl nor kustomize is installed, so no overlay can be rendered")
    overlays = {name: render(project, name, command).documents for name in overlay_names(project)}
    return lambda name: copy.deepcopy(list(overlays[name]))
