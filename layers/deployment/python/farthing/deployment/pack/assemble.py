"""Puts together what a function is shipped with: wheels, bundles, indexes, code.

Images and zips are made of the same trees. This file is also run by itself inside the image that
builds (`python3 assemble.py STEP FUNCTION OUT`), so it imports the standard library and no more.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

# The date of every file: the earliest that a zip can state. The same content is the same layer.
EPOCH_S = 315_532_800
# Wheels for glibc 2.28 and older: Lambda's Python 3.12 and 3.13 have 2.34, Debian 12 has 2.36.
# https://peps.python.org/pep-0600/
GLIBCS = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
OLDER_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")
MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}

# Parts of wheels that no answer imports. Licences, and files that imports look for, stay.
UNUSED = (
    "bin",
    # The library for C programs; Python's own module holds the same code once more.
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/_core/include",
    "numpy/**/tests",
    "numpy/**/*.a",
    # A server, and a client of S3 beside the one that is used; readers and writers link to neither.
    "pyarrow/libarrow_flight.so*",
    "pyarrow/libarrow_python_flight.so*",
    "pyarrow/libarrow_s3.so*",
    "pyarrow/_flight.*",
    "pyarrow/_s3fs.*",
    "pyarrow/include",
    "pyarrow/tests",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.c",
    "**/*.h",
)


class AssemblyError(Exception):
    """What is asked for cannot be put together; the text is a sentence for the developer."""


def describe(root: Path, function: str) -> dict[str, Any]:
    """The function's table in pyproject.toml. Raises `AssemblyError` naming those there are."""
    data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    tables: dict[str, Any] = data["tool"]["farthing"]["functions"]
    if function not in tables:
        asked = f"there is no function {function!r}" if function else "no function is named"
        raise AssemblyError(
            f"FUNCTION: {asked}; pyproject.toml describes {', '.join(sorted(tables))}. "
            "Build with --build-arg FUNCTION=NAME."
        )
    described: dict[str, Any] = tables[function]
    return described


def chosen_layers(root: Path, described: dict[str, Any], also: str) -> list[str]:
    """The function's layers and those that `also` names, separated by spaces.

    Raises `AssemblyError` for a folder that layers/ does not have.
    """
    own: list[str] = described["layers"]
    added = [layer for layer in also.split() if layer not in own]
    for layer in added:
        if not (root / "layers" / layer / "python").is_dir():
            raise AssemblyError(
                f"ALSO: there is no layer {layer!r}. Name a folder of layers/, such as ledger."
            )
    return own + added


def requirements(root: Path, layers: list[str], target: str) -> list[Path]:
    """The pinned wheels of the layers, and of what the target adds to them."""
    files = [root / "layers" / layer / "python" / "requirements.txt" for layer in layers]
    if target != "zip":
        files.append(root / "infra" / "docker" / f"requirements-{target}.txt")
    return [file for file in files if file.exists()]


def platform_tags(machine: str) -> list[str]:
    """Wheel platforms, newest first, for `x86_64` or `aarch64` (`amd64`, `arm64`)."""
    arch = MACHINES[machine]
    tags = [f"manylinux_{glibc}_{arch}" for glibc in GLIBCS]
    older = OLDER_NAMES if arch == "x86_64" else OLDER_NAMES[:1]
    return [*tags, *(f"{name}_{arch}" for name in older)]


def install(files: list[Path], out: Path, machine: str, python: str, pip: list[str]) -> None:
    """Wheels into folder `out`, checked by hash, with nothing that the files do not list.

    `python` is the version that will run them, `3.12`; `pip` the command to call. Raises
    `AssemblyError` with pip's last words.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = [*pip, "install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"]
    command += ["--disable-pip-version-check", "--root-user-action", "ignore", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    # The pins are exact and wheels are chosen for `python`; pip would ask its own version here.
    command += ["--ignore-requires-python"]
    for tag in platform_tags(machine):
        command += ["--platform", tag]
    for file in files:
        command += ["--requirement", str(file)]
    command += ["--target", str(out)]
    # Its words are this file's own and paths of the project.
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        words = "\n".join([line for line in lines if line.startswith("ERROR")] or lines[-8:])
        raise AssemblyError(f"pip could not install the pinned wheels:\n{words}")


def trim(folder: Path) -> None:
    """Removes what no answer imports."""
    for pattern in UNUSED:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()


def copy_code(root: Path, function: str, layers: list[str], out: Path) -> None:
    """`farthing` of the function's layers, and its entry point under its dotted path."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for layer in layers:
        source = root / "layers" / layer / "python" / "farthing"
        if source.is_dir():
            shutil.copytree(source, out / "farthing", ignore=ignore, dirs_exist_ok=True)
    package = Path("functions", function)
    # A function's events are samples; a layer's may be code.
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "events")
    shutil.copytree(root / package, out / package, ignore=ignore, dirs_exist_ok=True)
    if (root / "functions" / "__init__.py").exists():
        shutil.copy(root / "functions" / "__init__.py", out / "functions")


def copy_models(root: Path, models: list[str], out: Path) -> None:
    """The function's bundles and cascades. Raises `AssemblyError` for one that is not there."""
    out.mkdir(parents=True, exist_ok=True)
    for model in models:
        source = root / "layers" / "models" / model
        if not any((source / name).is_file() for name in ("manifest.json", "cascade.json")):
            raise AssemblyError(
                f"The bundle {model} is not in layers/models. Build it with `make bundles`."
            )
        shutil.copytree(source, out / model, dirs_exist_ok=True)


def copy_indexes(root: Path, indexes: list[str], out: Path) -> None:
    """The function's indexes; none leaves an empty folder.

    Raises `AssemblyError` for one that is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    for index in indexes:
        source = root / "layers" / "indexes" / index
        if not (source / "manifest.json").is_file():
            raise AssemblyError(
                f"The index {index} is not in layers/indexes. Build it with `farthing index build`."
            )
        shutil.copytree(source, out / index, dirs_exist_ok=True)


def compile_bytecode(folder: Path, shown_as: str) -> None:
    """Bytecode beside every module, which stays valid whatever the files' dates become.

    `shown_as` is the folder's name in tracebacks.
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(
        folder, quiet=2, invalidation_mode=mode, stripdir=str(folder), prependdir=shown_as
    )


def settle(folder: Path) -> None:
    """One date and plain permissions for all, so that equal content is an equal layer."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S), follow_symlinks=False)


def main(
    step: str, function: str, out: Path, also: str = "", target: str = "", machine: str = ""
) -> None:
    """One step of an image's build, in the folder that holds the project's files."""
    root, described = Path.cwd(), describe(Path.cwd(), function)
    layers = chosen_layers(root, described, also)
    if step == "wheels":
        _require_same_python(root)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        pip = [sys.executable, "-m", "pip"]
        files = requirements(root, layers, target)
        install(files, out, machine or os.uname().machine, python, pip)
        trim(out)
        compile_bytecode(out, "/opt/python")
    elif step == "models":
        copy_models(root, described["models"], out)
    elif step == "indexes":
        copy_indexes(root, described.get("indexes", []), out)
    elif step == "code":
        copy_code(root, function, layers, out)
        # What starts the image cannot spell the function's name: an image's command is fixed text.
        (out / "functions" / "this").symlink_to(function)
        compile_bytecode(out, "/var/task")
    settle(out)


def _require_same_python(root: Path) -> None:
    """The image that builds compiles for its own Python, so the base must have the same."""
    stated = root / "base-python"
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    if stated.exists() and stated.read_text().strip() != mine:
        raise AssemblyError(
            f"BASE_IMAGE has Python {stated.read_text().strip()} and BUILD_IMAGE {mine}; wheels "
            "fit one of them only. Choose two images with the same minor version."
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    except AssemblyError as error:
        sys.exit(f"farthing: {error}")
