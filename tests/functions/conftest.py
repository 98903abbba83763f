"""What the platforms' tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.server import Server, farthing
from tests.functions.shop import build_shop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve


@pytest.fixture(scope="module", params=["classify", "embed"])
def function(request: pytest.FixtureRequest) -> str:
    """Each function in turn, with one server for a module's tests of it."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def shop_index(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """The folder of a small index that no test changes."""
    return build_shop(tmp_path_factory.mktemp("index") / "shop", models=models_dir)


@pytest.fixture(scope="session")
def shop_server(serve_for_session: Serve, shop_index: Path) -> Server:
    """`farthing serve` with that index, as a developer starts it."""
    return serve_for_session(farthing("serve", "--port", "{port}", "--index", str(shop_index)))
