"""`sam build`, `sam local invoke` and `sam local start-api`, as a user would type them.

The images are built and run by podman through its Docker-compatible socket. One thing differs from
a user's machine: the base is our own, one with a shell, since SAM adds its emulator by RUN. The
functions, their sizes, the routes and the answers are those that ship.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployment.images.conftest import BUILD, store  # noqa: F401 a fixture
from tests.functions.server import ROOT, START_S, free_port, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Bounds for a machine that is busy with other things; nothing here measures speed.
BUILD_S = 1800
ANSWER_S = 300
SERVED = {
    "classify": "ClassifyFunction",
    "embed": "EmbedFunction",
    "search": "SearchFunction",
}
# SAM publishes ports by the engine; without a bridge network containers use the machine's own.
HOST_NETWORK = '[containers]\nnetns = "host"\n'


@pytest.fixture(scope="module")
def sam() -> str:
    found = shutil.which("sam") or str(ROOT / ".venv-sam" / "bin" / "sam")
    if not Path(found).exists():
        pytest.skip("SAM IS NOT TESTED: there is no `sam`; `make sam` installs it")
    return found


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {
        **os.environ,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }


@pytest.fixture(scope="module")
def engine(store: Path, environ: dict[str, str], sam: str) -> Iterator[dict[str, str]]:  # noqa: F811
    """The environment in which `sam` finds podman's socket."""
    conf = (store / "containers.conf").read_text()
    own = store / "sam.conf"
    own.write_text(conf.replace("[containers]\n", HOST_NETWORK, 1))
    address = store / "podman.sock"
    about = {**environ, "CONTAINERS_CONF": str(own), "BUILDAH_ISOLATION": "chroot"}
    with (store / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{address}"],
            env=about,
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + START_S
            while not listens(address):
                assert service.poll() is None, (store / "podman.log").read_text()
                assert time.monotonic() < deadline, "podman's service did not start"
                time.sleep(0.1)
            yield {**about, "DOCKER_HOST": f"unix://{address}"}
        finally:
            stop(service)


@pytest.fixture(scope="module")
def built(
    engine: dict[str, str], sam: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`built("classify")`: the template that `sam build` made of that function's image."""
    folder = tmp_path_factory.mktemp("sam")
    made: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in made:
            made[name] = _build(folder / name, name, sam, engine)
        return made[name]

    return build


def _build(folder: Path, name: str, sam: str, engine: dict[str, str]) -> Path:
    folder.mkdir()
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    arguments = f"{{FUNCTION: {name}"
    assert arguments in text
    bases = f", BASE_IMAGE: '{BUILD}', BUILD_IMAGE: '{BUILD}'"
    template = folder / "template.yaml"
    template.write_text(text.replace(arguments, arguments + bases), encoding="utf-8")
    run(
        [
            sam,
            "build",
            SERVED[name],
            "--template",
            str(template),
            "--base-dir",
            str(ROOT),
            "--build-dir",
            str(folder / "build"),
        ],
        engine,
        ROOT,
    )
    return folder / "build" / "template.yaml"


def listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def run(command: list[str], environ: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, f"{' '.join(command[:3])}: {done.stderr[-3000:]}"
    return done.stdout


def test_invoke_answers_with_a_price(
    built: Callable[[str], Path], engine: dict[str, str], sam: str
) -> None:
    template = built("classify")
    event = ROOT / "functions" / "classify" / "events" / "direct.json"
    said = run(
        [
            sam,
            "local",
            "invoke",
            SERVED["classify"],
            "--template",
            str(template),
            "--skip-pull-image",
            "--container-host",
            "127.0.0.1",
            "--event",
            str(event),
        ],
        engine,
        template.parent,
    )
    line = next(it for it in said.splitlines() if it.startswith('{"'))
    answer = json.loads(line)
    assert answer["usage"]["memory_mb"] == 1024
    assert answer["charge"]["basis"] == "measured"
    assert float(answer["charge"]["total"]) > 0


@pytest.mark.parametrize(
    ("name", "path", "body", "key"),
    [
        ("classify", "/v1/classify", {"inputs": "canon eos 2000d body"}, "results"),
        ("embed", "/v1/embeddings", {"input": "a red chair"}, "data"),
        ("search", "/v1/search", {"query": "fridge freezer"}, "results"),
    ],
)
def test_the_http_api_answers_with_a_price(
    built: Callable[[str], Path],
    engine: dict[str, str],
    sam: str,
    name: str,
    path: str,
    body: dict[str, Any],
    key: str,
) -> None:
    template, port = built(name), free_port()
    log = template.parent / "api.log"
    with log.open("wb") as output:
        api = subprocess.Popen(
            [
                sam,
                "local",
                "start-api",
                "--template",
                str(template),
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--skip-pull-image",
                "--container-host",
                "127.0.0.1",
                "--parameter-overrides",
                "HttpApi=on",
            ],
            env=engine,
            cwd=template.parent,
            stdout=output,
            stderr=output,
        )
        try:
            wait_for(log, "Running on", api)
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
                answer = json.load(response)
                assert float(response.headers["X-Farthing-Cost-USD"]) > 0
            assert answer[key]
            assert answer["charge"]["lines"][0]["rule"] == "lambda.requests"
        finally:
            stop(api)


def wait_for(log: Path, words: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ANSWER_S
    while words not in (said := log.read_text(errors="replace")):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


def test_the_zip_keeps_its_dotted_path_and_its_layer(
    sam: str, environ: dict[str, str], tmp_path: Path
) -> None:
    found = sorted(Path.home().glob(".pyenv/versions/3.12*/bin"))
    places = [*map(str, found[-1:]), environ["PATH"]]
    environ = {**environ, "PATH": os.pathsep.join(places)}
    tried = subprocess.run(["python3.12", "--version"], env=environ, capture_output=True) if (
        shutil.which("python3.12", path=environ["PATH"])
    ) else None  # fmt: skip
    if tried is None or tried.returncode:
        pytest.skip("THE ZIP IS NOT TESTED: there is no python3.12, for which it is built")
    run(
        [sam, "build", "BreakerFunction", "--build-dir", str(tmp_path / "build")],
        environ,
        ROOT,
    )
    function, layer = (tmp_path / "build" / it for it in ("BreakerFunction", "CoreLayer"))
    assert (function / "functions" / "breaker" / "app.py").exists()
    said = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env={
            "PYTHONPATH": f"{function}:{layer / 'python'}",
            "BREAKER_FUNCTIONS": "a,b",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    app, breaker = (Path(line) for line in said.split())
    assert app.is_relative_to(function)
    assert breaker.is_relative_to(layer)
    size = sum(it.stat().st_size for it in layer.rglob("*") if it.is_file())
    assert size < 250 * 1024 * 1024


IMPORT = """
import functions.breaker.app as app, farthing.billing.breaker as breaker
print(app.__file__, breaker.__file__)
"""
