"""Zips for Lambda's managed Python: one each for a layer, the models, the indexes, the function.

The same tree makes the same bytes. What is unzipped lands where Lambda looks: layers below
/opt/python, the function below /var/task with its dotted path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.requirements import Requirement

from farthing.deployment.pack import assemble
from farthing.deployment.pack.engine import PackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farthing.deployment.pack.images import Arch
    from farthing.deployment.project import Project

# The managed runtime that the zips are for: Amazon Linux 2023, glibc 2.34.
PYTHON = "3.12"
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-08)
UNZIPPED_BYTES_MAX = 250 * 1024**2
UPLOAD_BYTES_MAX = 50 * 1024**2
LAYERS_MAX = 5
EARLIEST = (1980, 1, 1, 0, 0, 0)
COMPRESSION = 9


class Zip(msgspec.Struct, frozen=True):
    """`holds` names what is in it; sizes are bytes."""

    file: Path
    holds: str
    zipped: int
    unzipped: int

    @property
    def needs_s3(self) -> bool:
        """Whether it is too large to be uploaded directly."""
        return self.zipped > UPLOAD_BYTES_MAX


def build_zips(project: Project, function: str, arch: Arch, out: Path) -> list[Zip]:
    """The zips, written into folder `out`. Raises `PackError` or `ProjectError`."""
    described = project.function(function)
    if "lambda-zip" not in described.targets:
        raise PackError(
            f"{function} has no target lambda-zip; pyproject.toml gives it "
            f"{', '.join(described.targets)}. Choose one of those, or add it there."
        )
    trees: list[tuple[str, str, Callable[[Path], None]]] = [
        (f"farthing-{layer}-{arch}", f"layer {layer}", _layer(project, layer, arch))
        for layer in described.layers
    ]
    if described.models:
        holds = f"models: {', '.join(described.models)}"
        trees.append((f"farthing-models-{function}", holds, _models(project, described.models)))
    if described.indexes:
        holds = f"indexes: {', '.join(described.indexes)}"
        fill = _indexes(project, described.indexes)
        trees.append((f"farthing-indexes-{function}", holds, fill))
    trees.append((f"farthing-{function}", "function", _code(project, function)))
    out.mkdir(parents=True, exist_ok=True)
    try:
        zips = [_zip(out / f"{name}.zip", holds, fill) for name, holds, fill in trees]
    except assemble.AssemblyError as error:
        raise PackError(str(error)) from None
    refuse_too_large(function, zips)
    return zips


def refuse_too_large(function: str, zips: Sequence[Zip]) -> None:
    """Raises `PackError` where Lambda would not unpack these together."""
    total = sum(it.unzipped for it in zips)
    if total > UNZIPPED_BYTES_MAX:
        largest = max(zips, key=lambda it: it.unzipped)
        raise PackError(
            f"{function} is {total / 1e6:.0f} MB unzipped, of which {largest.holds} "
            f"{largest.unzipped / 1e6:.0f}; Lambda takes {UNZIPPED_BYTES_MAX / 1024**2:g} MiB with "
            "all layers. Pack it with --target lambda-image, which takes 10 GiB."
        )
    layers = len(zips) - 1
    if layers > LAYERS_MAX:
        raise PackError(
            f"{function} has {layers} layers; Lambda attaches {LAYERS_MAX}. "
            "Pack it with --target lambda-image, or put its parts into fewer layers."
        )


def _layer(project: Project, layer: str, arch: Arch) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        python = folder / "python"
        wheels = assemble.requirements(project.root, [layer], "zip")
        if wheels:
            with tempfile.TemporaryDirectory() as scratch:
                chosen = [_for_runtime(file, Path(scratch)) for file in wheels]
                pip = [sys.executable, "-m", "pip"]
                assemble.install(chosen, python, arch, PYTHON, pip)
            assemble.trim(python)
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        source = project.root / "layers" / layer / "python" / "farthing"
        shutil.copytree(source, python / "farthing", ignore=ignore, dirs_exist_ok=True)
        _compile(python, "/opt/python")

    return fill


def _models(project: Project, models: Sequence[str]) -> Callable[[Path], None]:
    """Beside the settings, where they are looked for when FARTHING_MODELS says nothing."""

    def fill(folder: Path) -> None:
        assemble.copy_models(project.root, list(models), folder / "python" / "farthing" / "models")

    return fill


def _indexes(project: Project, indexes: Sequence[str]) -> Callable[[Path], None]:
    """As the models, for FARTHING_INDEXES."""

    def fill(folder: Path) -> None:
        shipped = folder / "python" / "farthing" / "indexes"
        assemble.copy_indexes(project.root, list(indexes), shipped)

    return fill


def _code(project: Project, function: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        assemble.copy_code(project.root, function, [], folder)
        _compile(folder, "/var/task")

    return fill


def _for_runtime(file: Path, scratch: Path) -> Path:
    """The file's wheels for the runtime's Python.

    pip chooses a wheel by `--python-version`, but reads conditions for the Python it runs on.
    """
    environment = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    kept = []
    for entry in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        words = entry.partition(" --hash")
        if not words[0].strip() or words[0].lstrip().startswith("#"):
            continue
        requirement = Requirement(words[0].strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            kept.append(f"{requirement}{words[1]}{words[2]}")
    chosen = scratch / f"{len(list(scratch.iterdir()))}.txt"
    chosen.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return chosen


def has_runtime_python() -> bool:
    """Whether bytecode for the runtime can be made here; without, a start compiles anew."""
    return f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON or bool(_interpreter())


def _interpreter() -> str | None:
    """The runtime's Python, if it is installed and starts: a version manager's stub may not."""
    path = shutil.which(f"python{PYTHON}")
    if path is None:
        return None
    done = subprocess.run([path, "-c", ""], capture_output=True, check=False)  # noqa: S603
    return path if done.returncode == 0 else None


def _compile(folder: Path, shown_as: str) -> None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        assemble.compile_bytecode(folder, shown_as)
    elif interpreter := _interpreter():
        command = [interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", str(folder), "-p", shown_as, str(folder)]
        environ = {"PYTHONHASHSEED": "0"}
        subprocess.run(command, check=False, capture_output=True, env=environ)  # noqa: S603


def _zip(file: Path, holds: str, fill: Callable[[Path], None]) -> Zip:
    unzipped = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill(folder)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as out:
            for path in sorted(folder.rglob("*")):
                if path.is_dir():
                    continue
                content = path.read_bytes()
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EARLIEST)
                entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                is_program = path.stat().st_mode & 0o100
                entry.external_attr = (0o100755 if is_program else 0o100644) << 16
                out.writestr(entry, content)
                unzipped += len(content)
    return Zip(file, holds, file.stat().st_size, unzipped)
