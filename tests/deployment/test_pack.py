"""Packing without a container engine: refusals in sentences, zips that are the same twice.

Where an engine is asked to fail, a script stands in for it; real ones are in `images/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from farthing.deployment.pack import assemble
from farthing.deployment.pack.engine import Engine, PackError, find_engine
from farthing.deployment.pack.images import Request, build_image, refuse_unfit
from farthing.deployment.pack.layers import Layer
from farthing.deployment.pack.layers import refuse_too_large as refuse_large_image
from farthing.deployment.pack.zips import PYTHON, Zip, build_zips
from farthing.deployment.pack.zips import refuse_too_large as refuse_large_zips
from farthing.deployment.project import Project, ProjectError
from tests.functions.server import ROOT, clean_environment, farthing, run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable

UNZIPPED_MB_MAX = 150


@pytest.fixture
def project() -> Project:
    return Project.read(ROOT)


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Engine]:
    """`fake_engine(script)`: a buildah that is this shell script, and the only engine there is."""

    def install(script: str) -> Engine:
        program = tmp_path / "bin" / "buildah"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return Engine("buildah")

    return install


def test_without_an_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PackError, match=r"no container engine is installed\. Install one"):
        find_engine()
    with pytest.raises(PackError, match="docker is not installed"):
        find_engine("docker")


def test_an_unknown_function_is_refused_by_naming_those_there_are(project: Project) -> None:
    with pytest.raises(ProjectError, match=r"no function 'classfy'.*classify"):
        refuse_unfit(project, Request("classfy", "lambda-image"))


def test_a_target_that_a_function_lacks_is_refused(project: Project) -> None:
    with pytest.raises(PackError, match="breaker has no target http-image"):
        refuse_unfit(project, Request("breaker", "http-image"))
    image_only = msgspec.structs.replace(
        project.function("classify"), targets=("lambda-image", "http-image")
    )
    without_zip = msgspec.structs.replace(project, functions={"classify": image_only})
    with pytest.raises(PackError, match="classify has no target lambda-zip"):
        build_zips(without_zip, "classify", "amd64", Path("unused"))


def test_an_arm64_image_is_refused_where_function_compute_runs_it(project: Project) -> None:
    with pytest.raises(PackError, match="takes amd64 images only"):
        refuse_unfit(project, Request("classify", "http-image", "arm64"))
    refuse_unfit(project, Request("classify", "lambda-image", "arm64"))


def test_a_base_that_cannot_be_had_is_named(
    project: Project, fake_engine: Callable[[str], Engine]
) -> None:
    engine = fake_engine("exit 1")
    with pytest.raises(PackError, match=r"lambda/python:3\.13 \(BASE_IMAGE\) is not on this"):
        build_image(project, engine, Request("classify", "lambda-image"))
    request = Request("classify", "http-image", base_image="localhost/none:1")
    with pytest.raises(PackError, match=r"localhost/none:1 .*--base-image"):
        build_image(project, engine, request)


def test_a_failed_build_shows_its_last_lines(
    project: Project, fake_engine: Callable[[str], Engine]
) -> None:
    engine = fake_engine('[ "$1" = build ] || exit 0\nseq 100\necho no space left >&2\nexit 3')
    with pytest.raises(PackError) as refused:
        build_image(project, engine, Request("classify", "lambda-image"))
    lines = str(refused.value).splitlines()
    assert lines[0] == "`buildah build` failed:"
    assert lines[-2:] == ["100", "no space left"]
    assert len(lines) < 12


def test_an_image_over_ten_gigabytes_is_refused() -> None:
    fits = Layer("wheels", "sha256:0", 1, 10 * 1024**3)
    refuse_large_image("image", [fits])
    with pytest.raises(PackError, match=r"is 10\.7 GB uncompressed"):
        refuse_large_image("image", [fits, Layer("code", "sha256:1", 1, 1)])


def test_zips_over_250_mb_together_are_refused_and_the_largest_is_named() -> None:
    mib = 1024**2
    fits = [Zip(Path("a.zip"), "layer inference", 1, 249 * mib), Zip(Path("b.zip"), "code", 1, mib)]
    refuse_large_zips("search", fits)
    with pytest.raises(PackError, match=r"search is 263 MB .* layer inference 261"):
        refuse_large_zips("search", [*fits, Zip(Path("c.zip"), "models", 1, mib)])
    with pytest.raises(PackError, match="has 6 layers; Lambda attaches 5"):
        refuse_large_zips("search", [Zip(Path(f"{n}.zip"), "layer", 1, 1) for n in range(7)])


def test_a_layer_that_is_asked_for_joins_the_functions_own() -> None:
    described = assemble.describe(ROOT, "classify")
    assert assemble.chosen_layers(ROOT, described, "") == ["core", "inference"]
    assert assemble.chosen_layers(ROOT, described, "ledger core") == ["core", "inference", "ledger"]
    with pytest.raises(assemble.AssemblyError, match="there is no layer 'legder'"):
        assemble.chosen_layers(ROOT, described, "legder")


def test_code_of_a_layer_is_copied_whole_and_a_functions_samples_stay_behind(
    tmp_path: Path,
) -> None:
    assemble.copy_code(ROOT, "batch", ["core", "batch"], tmp_path)
    assert (tmp_path / "farthing" / "batch" / "events" / "function.py").is_file()
    assert (tmp_path / "functions" / "batch" / "app.py").is_file()
    assert not (tmp_path / "functions" / "batch" / "events").exists()


def test_an_index_that_is_not_there_is_named_and_one_that_is_is_copied(tmp_path: Path) -> None:
    with pytest.raises(assemble.AssemblyError, match="The index shop is not in layers/indexes"):
        assemble.copy_indexes(tmp_path, ["shop"], tmp_path / "out")
    folder = tmp_path / "layers" / "indexes" / "shop"
    (folder / "segments" / "a").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "segments" / "a" / "segment.json").write_text("{}")
    assemble.copy_indexes(tmp_path, ["shop"], tmp_path / "out")
    assert (tmp_path / "out" / "shop" / "segments" / "a" / "segment.json").is_file()
    assemble.copy_indexes(tmp_path, [], tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_an_image_with_a_ledger_has_the_tag_that_the_checks_ask_for() -> None:
    project = Project.read(ROOT)
    request = Request("classify", "http-image", also=("ledger",))
    assert request.name(project).endswith(f"/farthing-classify:{project.ledger_tag}")
    assert Request("classify", "http-image").name(project).endswith(f":{project.version}")
    assert Request("embed", "lambda-image").name(project).endswith(f":{project.version}-lambda")
    with pytest.raises(PackError, match="There is no layer 'legder'"):
        refuse_unfit(project, Request("classify", "http-image", also=("legder",)))


def test_only_a_zip_over_50_mb_needs_s3() -> None:
    mib = 1024**2
    assert not Zip(Path("a.zip"), "layer", 50 * mib, 1).needs_s3
    assert Zip(Path("a.zip"), "layer", 50 * mib + 1, 1).needs_s3


def test_building_for_another_python_than_the_base_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "base-python").write_text("3.7")
    done = subprocess.run(
        [sys.executable, assemble.__file__, "wheels", "classify", "out", "", "lambda", ""],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "BASE_IMAGE has Python 3.7 and BUILD_IMAGE 3." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wheel_whose_hash_is_another_is_not_installed(tmp_path: Path) -> None:
    pinned = tmp_path / "requirements.txt"
    pinned.write_text(f"idna==3.20 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(assemble.AssemblyError, match="pip could not install"):
        pip = [sys.executable, "-m", "pip"]
        assemble.install([pinned], tmp_path / "out", "x86_64", "3.12", pip)


def zips_of(function: str, folder: Path) -> list[Zip]:
    try:
        return build_zips(Project.read(ROOT), function, "amd64", folder)
    except PackError as error:
        if "pip could not install" in str(error):
            pytest.skip(f"ZIPS ARE NOT TESTED: wheels cannot be had: {error}")
        raise


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> list[Zip]:
    return zips_of("classify", tmp_path_factory.mktemp("zips"))


def test_the_zips_hold_layers_models_and_function_within_lambdas_limit(zips: list[Zip]) -> None:
    assert [it.holds for it in zips] == [
        "layer core",
        "layer inference",
        "models: product-classifier",
        "function",
    ]
    assert sum(it.unzipped for it in zips) <= UNZIPPED_MB_MAX * 1e6
    held = {it.holds: zipfile.ZipFile(it.file).namelist() for it in zips}
    assert "functions/classify/app.py" in held["function"]
    assert all(name.startswith("python/") for name in held["layer core"] + held["layer inference"])
    native = [
        name for name in held["layer inference"] if name.endswith(".so") and "cpython" in name
    ]
    assert native
    assert all("cpython-312-x86_64" in name for name in native)


@pytest.fixture(scope="module")
def search_zips(tmp_path_factory: pytest.TempPathFactory) -> list[Zip]:
    return zips_of("search", tmp_path_factory.mktemp("search"))


def test_searchs_zips_fit_lambda_with_their_index_and_five_layers(search_zips: list[Zip]) -> None:
    assert [it.holds for it in search_zips] == [
        "layer core",
        "layer inference",
        "layer search",
        "models: all-minilm-l6-v2",
        "indexes: shop-sample",
        "function",
    ]
    assert sum(it.unzipped for it in search_zips) <= 250 * 1024**2
    held = {it.holds: zipfile.ZipFile(it.file).namelist() for it in search_zips}
    manifest = "python/farthing/indexes/shop-sample/manifest.json"
    assert manifest in held["indexes: shop-sample"]
    packages = {name.split("/")[1] for name in held["layer search"]}
    assert {"tantivy", "farthing"} <= packages
    assert not {"numpy", "onnxruntime", "pyarrow", "xgboost", "msgspec"} & packages


def test_the_same_tree_makes_the_same_zips(zips: list[Zip], tmp_path: Path) -> None:
    again = zips_of("classify", tmp_path)
    assert [it.file.read_bytes() for it in again] == [it.file.read_bytes() for it in zips]


def test_what_is_unzipped_answers_on_lambdas_python(
    zips: list[Zip], tmp_path: Path, sample_event: Callable[[str, str], Any]
) -> None:
    body = answer_of_zips("classify", zips, tmp_path, sample_event)
    assert float(body["charge"]["total"]) > 0


def test_a_search_of_what_is_unzipped_finds_products_on_lambdas_python(
    search_zips: list[Zip], tmp_path: Path, sample_event: Callable[[str, str], Any]
) -> None:
    body = answer_of_zips("search", search_zips, tmp_path, sample_event)
    assert body["results"]
    assert float(body["charge"]["total"]) > 0


def answer_of_zips(
    function: str, zips: list[Zip], folder: Path, sample_event: Callable[[str, str], Any]
) -> Any:
    """The body that the unpacked function answers an HTTP API's event with."""
    python = _runtime_python()
    for it in zips:
        part = folder / ("task" if it.holds == "function" else "opt")
        zipfile.ZipFile(it.file).extractall(part)
    event = json.dumps(sample_event(function, "apigateway-http-v2"))
    code = f"import json, sys; from functions.{function}.app import handler; "
    code += "print(json.dumps(handler(json.loads(sys.argv[1]), None)))"
    environ = {
        "PYTHONPATH": f"{folder}/task:{folder}/opt/python",
        "AWS_LAMBDA_FUNCTION_NAME": f"farthing-{function}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-east-1",
    }
    done = subprocess.run(
        [python, "-s", "-c", code, event],
        cwd=folder,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Before it are the lines of the recorder, which settle reads from the log.
    return json.loads(json.loads(done.stdout.splitlines()[-1])["body"])


def _runtime_python() -> str:
    managed = sorted(Path.home().glob(f".pyenv/versions/{PYTHON}.*/bin/python{PYTHON}"))
    for path in [shutil.which(f"python{PYTHON}"), *managed]:
        starts = path and subprocess.run([path, "-c", ""], capture_output=True, check=False)
        if starts and starts.returncode == 0:
            return str(path)
    pytest.skip(f"ZIPS ARE NOT RUN: there is no Python {PYTHON}, which Lambda would run them with")


def test_the_command_refuses_in_a_sentence() -> None:
    refused = run_to_end(farthing("pack", "nobody", "--project", str(ROOT)), {})
    assert refused.returncode == 1
    assert refused.stderr.startswith("farthing: There is no function 'nobody'; this project has")


def test_the_help_shows_how_to_begin() -> None:
    shown = run_to_end(farthing("pack", "--help"), {"COLUMNS": "200"})
    assert "farthing pack classify --target lambda-zip" in shown.stdout
    assert "infra/docker/base/build.sh" in shown.stdout
