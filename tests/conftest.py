"""Fixtures for every test: the bundles, the sample events and real servers on loopback."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.server import ROOT, Server, farthing, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Serve = Callable[..., Server]

# The forge's environment has none.
if find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # How long an example takes says how busy the machine is, and nothing of what it shows. New
    # examples are for who is at hand to look at what they find.
    settings.register_profile(
        "farthing",
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("farthing")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The bundles that ship, or those of FARTHING_MODELS, so that new ones can be tried."""
    folder = Path(os.environ.get("FARTHING_MODELS", ROOT / "layers" / "models")).resolve()
    assert any(folder.glob("*/manifest.json")), f"{folder} holds no bundle; see `make bundles`"
    return folder


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """AWS's stand-in. What it keeps is one for the whole process, so its users reset it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A real PostgreSQL on loopback. Its users make databases of their own in it."""
    # The forge's environment has no driver for it, and its tests need none.
    from tests.ledger import postgresql

    binaries = postgresql.binaries()
    if binaries is None:
        pytest.skip("NO POSTGRESQL: install the package `postgresql` to run what needs one")
    with postgresql.running(binaries) as url:
        yield url


@pytest.fixture(scope="session")
def sample_event() -> Callable[[str, str], Any]:
    """`sample_event("embed", "alb")`: a fresh copy of a function's sample event."""

    def read(function: str, name: str) -> Any:
        file = ROOT / "functions" / function / "events" / f"{name}.json"
        return json.loads(file.read_text(encoding="utf-8"))

    return read


@pytest.fixture
def serve(models_dir: Path, tmp_path: Path) -> Iterator[Serve]:
    """`serve(command, environ)`: a ready server, stopped when the test ends."""
    with ExitStack() as stack:
        yield _starter(models_dir, tmp_path, stack)


@pytest.fixture(scope="session")
def serve_for_session(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """As `serve`, for servers that many tests ask and none changes."""
    with ExitStack() as stack:
        yield _starter(models_dir, tmp_path_factory.mktemp("servers"), stack)


@pytest.fixture(scope="session")
def local_server(serve_for_session: Serve) -> Server:
    """`farthing serve` as a developer starts it: all functions, no key, on loopback."""
    return serve_for_session(farthing("serve", "--port", "{port}"))


def _starter(models_dir: Path, folder: Path, stack: ExitStack) -> Serve:
    def start(
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
    ) -> Server:
        port = free_port()
        server = Server(
            [part.replace("{port}", str(port)) for part in command],
            {
                "FARTHING_MODELS": str(models_dir),
                "PORT": str(port),
                "XDG_STATE_HOME": str(folder / str(port)),
                **(environ or {}),
            },
            port,
            folder / f"{port}.log",
        )
        stack.enter_context(server)
        return server.wait_until_ready() if wait else server

    return start
