"""The shipped stacks as `s` would read them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.alibaba.stack import FOLDER, read_stack
from farthing.deployment.project import Project
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Props = Callable[..., dict[str, Any]]

FILES = (
    "s.yaml", "s.warm.yaml", "s.keys.yaml", "s.ledger.yaml", "s.events.yaml", "s.index.yaml",
    "s.batch.yaml",
)  # fmt: skip


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.read(ROOT)


@pytest.fixture(scope="session")
def props(project: Project) -> Props:
    """`props("s.warm.yaml", "embed")`: a function's resolved properties, to change at will."""

    def read(file: str = "s.yaml", function: str = "classify") -> dict[str, Any]:
        stack = read_stack(project, f"{FOLDER}/{file}")
        assert not stack.faults
        return copy.deepcopy(stack.resources[function].props)

    return read
