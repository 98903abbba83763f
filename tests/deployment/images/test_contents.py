"""What an image holds, and what it does not."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from farthing.deployment.pack.engine import Engine, PackError
from farthing.deployment.pack.images import Request, build_image
from farthing.deployment.pack.layers import read_layers
from farthing.deployment.project import Project
from tests.deployment.images.conftest import BASE, BUILD
from tests.deployment.images.container import engine_says
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Image = Callable[[str, str], str]

TARGETS = ("lambda-image", "http-image")
ABOVE_BASE_MB_MAX = 52
HTTP_MB_MAX = 100
# What a base without tools lacks, and what no wheel may bring.
TOOLS = {"sh", "bash", "dash", "busybox", "pip", "pip3", "apt", "apt-get", "dpkg", "gcc", "cc",
         "curl", "wget", "perl", "git"}  # fmt: skip


@pytest.fixture(scope="module")
def files(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`files("lambda-image")`: the whole file system of classify's image, as one tar."""
    exported: dict[str, Path] = {}

    def export(target: str) -> Path:
        if target not in exported:
            archive = tmp_path_factory.mktemp("exported") / "root.tar"
            container = engine_says("podman", "create", image("classify", target)).strip()
            engine_says("podman", "export", "--output", str(archive), container)
            engine_says("podman", "rm", container)
            exported[target] = archive
        return exported[target]

    return export


def names(archive: Path) -> set[str]:
    with tarfile.open(archive) as content:
        return set(content.getnames())


def read(archive: Path, name: str) -> Any:
    with tarfile.open(archive) as content:
        file = content.extractfile(name)
        assert file is not None
        return json.load(file)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_its_own_function_layers_and_model_and_no_others(
    target: str, files: Callable[[str], Path]
) -> None:
    held = names(files(target))
    code = {name.split("/")[3] for name in held if name.startswith("var/task/farthing/")}
    assert {"inference", "billing", "serving", "settings.py"} <= code
    assert not {"forge", "cli", "deployment"} & code
    assert {name.split("/")[2] for name in held if name.startswith("opt/models/")} == {
        "product-classifier"
    }
    functions = {name.split("/")[3] for name in held if name.startswith("var/task/functions/")}
    assert functions == {"classify", "this"}
    assert not any("/events/" in name for name in held if name.startswith("var/task/"))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_no_shell_no_installer_and_no_compiler(
    target: str, files: Callable[[str], Path]
) -> None:
    programs = {name.rpartition("/")[2] for name in names(files(target)) if "bin/" in name}
    assert not TOOLS & programs
    packages = {
        name.split("/")[2] for name in names(files(target)) if name.startswith("opt/python/")
    }
    assert not {"pip", "setuptools", "wheel", "boto3", "torch"} & packages


@pytest.mark.parametrize("target", TARGETS)
def test_every_module_has_its_bytecode(target: str, files: Callable[[str], Path]) -> None:
    held = names(files(target))
    modules = [
        name
        for name in held
        if name.startswith(("opt/python/", "var/task/")) and name.endswith(".py")
    ]
    compiled = {name.partition(".cpython-")[0] for name in held if name.endswith(".pyc")}
    assert len(modules) > 300
    without = []
    for name in modules:
        folder, _, file = name.rpartition("/")
        if f"{folder}/__pycache__/{file.removesuffix('.py')}" not in compiled:
            without.append(name)
    assert not without


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_of_materials_lists_every_wheel_and_the_model_by_digest(
    target: str, files: Callable[[str], Path], project: Project
) -> None:
    held, bill = names(files(target)), read(files(target), "opt/sbom/farthing.cdx.json")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    libraries = {
        f"{it['name']}-{it['version']}".lower().replace("-", "_")
        for it in bill["components"]
        if it["type"] == "library"
    }
    installed = {
        name.split("/")[2].removesuffix(".dist-info").lower().replace("-", "_")
        for name in held
        if name.endswith(".dist-info/METADATA")
    }
    assert libraries == installed
    models = [it for it in bill["components"] if it["type"] == "machine-learning-model"]
    manifest = json.loads((ROOT / "layers/models/product-classifier/manifest.json").read_bytes())
    digests = {file["name"]: file["hashes"][0]["content"] for file in models[0]["components"]}
    assert digests == {name: entry["sha256"] for name, entry in manifest["files"].items()}
    assert bill["metadata"]["component"]["name"] == "farthing-classify"
    assert bill["metadata"]["component"]["version"] == project.version


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_says_what_it_is(target: str, image: Image, project: Project) -> None:
    config = json.loads(
        engine_says(
            "skopeo", "inspect", "--config", f"containers-storage:{image('classify', target)}"
        )
    )["config"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "farthing-classify"
    assert labels["org.opencontainers.image.version"] == project.version
    assert labels["org.opencontainers.image.licenses"] == project.licence
    revision = engine_says("git", "-C", str(ROOT), "rev-parse", "HEAD").strip()
    assert labels["org.opencontainers.image.revision"] == revision
    assert config["User"] == "993:990"
    snapstart = labels.get("com.amazonaws.lambda.feature.snapstart")
    assert snapstart == ("Allow" if target == "lambda-image" else None)


def test_the_layers_are_wheels_then_model_then_code_within_their_sizes(image: Image) -> None:
    layers = read_layers(Engine("buildah"), image("classify", "lambda-image"))
    held = [layer.holds for layer in layers]
    assert held == [
        "base",
        "wheels",
        "models: product-classifier",
        "indexes: none",
        "bill of materials",
        "code",
    ]
    above_base_mb = sum(layer.compressed for layer in layers[1:]) / 1e6
    assert above_base_mb <= ABOVE_BASE_MB_MAX
    http = read_layers(Engine("buildah"), image("classify", "http-image"))
    assert sum(layer.compressed for layer in http) / 1e6 <= HTTP_MB_MAX


def test_a_search_image_holds_its_index_and_the_index_is_in_its_bill(image: Image) -> None:
    name = image("search", "lambda-image")
    held = [layer.holds for layer in read_layers(Engine("buildah"), name)]
    assert held[2:4] == ["models: all-minilm-l6-v2", "indexes: shop-sample"]
    read = "print(open('/opt/sbom/farthing.cdx.json').read())"
    bill = json.loads(
        engine_says("podman", "run", "--rm", "--entrypoint", "python3", name, "-c", read)
    )
    (index,) = [it for it in bill["components"] if it["type"] == "data"]
    manifest = json.loads((ROOT / "layers/indexes/shop-sample/manifest.json").read_bytes())
    assert index["name"] == manifest["name"]
    assert [it["hashes"][0]["content"] for it in index["components"]] == [
        it["digest"] for it in manifest["segments"]
    ]


def test_a_change_of_code_ships_neither_wheels_nor_model_again(
    image: Image, tmp_path: Path
) -> None:
    """Built from another folder, whose files have other dates."""
    engine = Engine("buildah")
    before = read_layers(engine, image("classify", "lambda-image"))
    for name in ("functions", "layers", "infra"):
        _copy(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", ".dockerignore"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    app = tmp_path / "functions" / "classify" / "app.py"
    app.write_text(app.read_text() + "\nCHANGED = True\n")
    request = Request("classify", "lambda-image", "amd64", BASE, BUILD, "localhost/changed:1")
    after = read_layers(engine, build_image(Project.read(tmp_path), engine, request))
    changed = [
        new.holds for old, new in zip(before, after, strict=True) if old.digest != new.digest
    ]
    assert changed == ["code"]


def _copy(source: Path, copy: Path) -> None:
    for path in source.rglob("*"):
        hidden = any(part in {"__pycache__", "forge"} for part in path.parts)
        if path.is_file() and not hidden:
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def test_a_build_without_a_function_says_which_there_are(image: Image, project: Project) -> None:
    image("classify", "lambda-image")
    arguments = {"BASE_IMAGE": BASE, "BUILD_IMAGE": BUILD}
    dockerfile = ROOT / "infra" / "docker" / "Dockerfile"
    with pytest.raises(PackError, match=r"FUNCTION: no function is named; .*breaker, classify"):
        Engine("buildah").build(
            ROOT, dockerfile, "lambda", "localhost/none:1", "linux/amd64", arguments, 0
        )
