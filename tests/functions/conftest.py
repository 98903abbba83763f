"""What the platforms' tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", params=["classify", "embed"])
def function(request: pytest.FixtureRequest) -> str:
    """Each function in turn, with one server for a module's tests of it."""
    name: str = request.param
    return name
