"""Real images, built and run by the engines of this machine in a store of their own.

The base is made from the machine's own Debian packages and kept in `.cache`, by its recipe's
digest. Everything skips, saying why, where a tool is missing or containers are not permitted.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from farthing.deployment.pack.engine import Engine, PackError
from farthing.deployment.pack.images import Request, build_image
from farthing.deployment.project import Project
from tests.deployment.images.container import Container, engine_says
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOOLS = ("buildah", "podman", "runc", "skopeo", "mmdebstrap")
RECIPE = ROOT / "infra" / "docker" / "base" / "build.sh"
BASE, BUILD = "localhost/farthing-base:bookworm", "localhost/farthing-build:bookworm"
RECIPE_S = 1800


def skip(why: str) -> None:
    pytest.skip(f"IMAGES ARE NOT TESTED: {why}")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An image store that only these tests see, with both bases in it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        skip(f"{', '.join(missing)} not installed")
    if os.geteuid() != 0:
        skip("the base is unpacked by root, and this is not root")
    folder = tmp_path_factory.mktemp("images")
    # Where raising a limit is not permitted, asking for less than the machine has is.
    files, tasks = (
        min(most, resource.getrlimit(kind)[1])
        for kind, most in ((resource.RLIMIT_NOFILE, 20_000), (resource.RLIMIT_NPROC, 4_096))
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
    )
    (folder / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={tasks}:{tasks}"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        try:
            _load_bases()
            _try_to_run()
            yield folder
        finally:
            for command in (["podman", "rm", "--all", "--force"], ["buildah", "rm", "--all"]):
                subprocess.run(command, capture_output=True, check=False)
            for mount in (folder / "store" / "overlay", folder / "run"):
                subprocess.run(["umount", "--quiet", str(mount)], capture_output=True, check=False)
            # All the images together are minutes of deleting, for which nobody need wait.
            subprocess.run(["sh", "-c", 'nice rm -rf "$0" >/dev/null 2>&1 &', folder], check=False)


def _load_bases() -> None:
    digest = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12]
    cache = ROOT / ".cache" / "bases" / digest
    archives = {
        image: cache / f"{image.split('/')[1].replace(':', '-')}.tar" for image in (BASE, BUILD)
    }
    if not all(archive.exists() for archive in archives.values()):
        made = subprocess.run(
            [str(RECIPE)], capture_output=True, text=True, timeout=RECIPE_S, check=False
        )
        if made.returncode:
            skip(f"the base cannot be made here: {made.stderr.strip()[-500:]}")
        cache.mkdir(parents=True, exist_ok=True)
        for image, archive in archives.items():
            partial = archive.with_suffix(".partial")
            engine_says("skopeo", "copy", f"containers-storage:{image}", f"oci-archive:{partial}")
            partial.replace(archive)
    for image, archive in archives.items():
        engine_says("skopeo", "copy", f"oci-archive:{archive}", f"containers-storage:{image}")


def _try_to_run() -> None:
    tried = subprocess.run(
        ["podman", "run", "--rm", "--network=none", BASE, "python3", "-c", ""],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        skip(f"podman and runc may not run a container here: {tried.stderr.strip()[-500:]}")


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.read(ROOT)


@pytest.fixture(scope="session")
def image(store: Path, project: Project) -> Callable[..., str]:
    """`image("classify", "lambda-image")`: its name; built when first asked for.

    Layers beyond the function's own follow: `image("classify", "http-image", "ledger")`.
    """
    built: dict[tuple[str, ...], str] = {}

    def build(function: str, target: str, *also: str) -> str:
        key = (function, target, *also)
        if key not in built:
            request = Request(function, target, "amd64", BASE, BUILD, also=also)  # type: ignore[arg-type]
            try:
                built[key] = build_image(project, Engine("buildah"), request)
            except PackError as error:
                if "pip could not install" in str(error):
                    skip(f"wheels cannot be had: {error}")
                raise
        return built[key]

    return build


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """`start(image, …)`: a running container, gone when the test ends."""
    started: list[Container] = []

    def run(image: str, *command: str, **options: object) -> Container:
        started.append(Container(image, command, **options))  # type: ignore[arg-type]
        return started[-1]

    yield run
    for container in started:
        container.remove()
