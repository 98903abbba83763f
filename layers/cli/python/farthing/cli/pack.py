"""`farthing pack`: a function as an image or as zips, with its sizes and its cold start."""

from __future__ import annotations

import sys
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.options import AsJson, require_extra

if TYPE_CHECKING:
    from farthing.deployment.pack.cold import ColdStart
    from farthing.deployment.pack.layers import Layer
    from farthing.deployment.project import Project


NEEDED = ("packaging", "yaml")
MILLION = 1_000_000


class PackTarget(StrEnum):
    LAMBDA_IMAGE = "lambda-image"
    HTTP_IMAGE = "http-image"
    LAMBDA_ZIP = "lambda-zip"


class PackArch(StrEnum):
    AMD64 = "amd64"
    ARM64 = "arm64"


class PackEngine(StrEnum):
    BUILDAH = "buildah"
    PODMAN = "podman"
    DOCKER = "docker"


def pack(
    function: Annotated[str, typer.Argument(help="A function that pyproject.toml describes.")],
    target: Annotated[
        PackTarget,
        typer.Option(
            help="lambda-image: for AWS Lambda. http-image: for Function Compute and Knative. "
            "lambda-zip: layers and code for Lambda's own Python 3.12; needs no container engine."
        ),
    ] = PackTarget.LAMBDA_IMAGE,
    arch: Annotated[
        PackArch, typer.Option(help="Processor. Function Compute takes amd64 only.")
    ] = PackArch.AMD64,
    base_image: Annotated[
        str, typer.Option(help=r"Image to run on. \[default: the Dockerfile's]", show_default=False)
    ] = "",
    build_image: Annotated[
        str,
        typer.Option(
            help=r"Image to build in: pip and the base's Python. \[default: the Dockerfile's]",
            show_default=False,
        ),
    ] = "",
    engine: Annotated[
        PackEngine | None,
        typer.Option(help=r"Who builds. \[default: the first installed]", show_default=False),
    ] = None,
    tag: Annotated[
        str,
        typer.Option(
            help=r"The image's name. \[default: function and version]", show_default=False
        ),
    ] = "",
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer that the image has beside the function's own, repeatable: "
            "[b]ledger[/b], to keep one in SQL.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for zips.")] = Path("dist"),
    measure: Annotated[
        bool, typer.Option(help="Start the image under Lambda's limits and time it.")
    ] = True,
    project: Annotated[Path, typer.Option(help="The checkout.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Build a function's image or zips, and say how large each part is and how fast it starts.

    Layers are listed from the base up, as they would be pulled and as they lie on disk. Cold
    starts are medians from the exec of the entry point to the first priced answer, in a
    read-only container without a network, beside a bare script that loads the same model there.

    Try: [b]farthing pack classify --target lambda-zip[/b], or, with an own small base made by
    infra/docker/base/build.sh, [b]farthing pack embed --target http-image --base-image
    localhost/farthing-base:bookworm --build-image localhost/farthing-build:bookworm[/b].
    """
    require_extra("deployment", NEEDED)
    from farthing.deployment.project import Project

    read = Project.read(project)
    if target is PackTarget.LAMBDA_ZIP:
        _pack_zips(read, function, arch.value, out, as_json=as_json)
        return
    from farthing.deployment.pack import images
    from farthing.deployment.pack.engine import find_engine
    from farthing.deployment.pack.layers import read_layers, refuse_too_large

    request = images.Request(
        function,
        "http-image" if target is PackTarget.HTTP_IMAGE else "lambda-image",
        arch.value,
        base_image,
        build_image,
        tag,
        tuple(also or ()),
    )
    images.refuse_unfit(read, request)
    builder = find_engine(engine.value if engine else None)
    with _progress(f"building {request.name(read)} with {builder.name}"):
        name = images.build_image(read, builder, request)
        layers = read_layers(builder, name)
    refuse_too_large(name, layers)
    starts = _measure(read, request, name) if measure else []
    if as_json:
        _write({"image": name, "layers": layers, "cold_starts": starts})
    else:
        _show_layers(name, layers)
        _show_starts(starts)


def _measure(project: Project, request: Any, image: str) -> list[ColdStart]:
    from farthing.deployment.pack.cold import SIZES
    from farthing.deployment.pack.cold import measure as measure_start
    from farthing.deployment.pack.engine import RUNNERS, PackError, find_engine

    try:
        runner = find_engine(of=RUNNERS)
    except PackError:
        _say("Its cold start is not measured: that needs podman or docker.")
        return []
    if request.arch != _own_arch():
        _say(f"Its cold start is not measured: this machine does not run {request.arch}.")
        return []
    starts = []
    for size in SIZES:
        with _progress(f"starting it at {size.name}"):
            starts.append(measure_start(project, runner, request, image, size))
    return starts


def _pack_zips(project: Project, function: str, arch: Any, out: Path, *, as_json: bool) -> None:
    from farthing.deployment.pack.zips import PYTHON, build_zips, has_runtime_python

    with _progress(f"zipping {function}"):
        zips = build_zips(project, function, arch, out)
    if as_json:
        _write({"zips": zips})
        return
    rows = [(it.holds, it.file.name, it.zipped, it.unzipped) for it in zips]
    _table(f"{function} for Python {PYTHON}, {arch}", ("holds", "file"), rows)
    for it in zips:
        if it.needs_s3:
            _say(f"{it.file.name} is over 50 MB: upload it by way of S3, as `sam deploy` does.")
    if not has_runtime_python():
        _say(f"No bytecode: install Python {PYTHON} here, or a cold start compiles every module.")


def _own_arch() -> str:
    import platform

    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _show_layers(name: str, layers: list[Layer]) -> None:
    rows = [
        (layer.holds, layer.digest[7:19], layer.compressed, layer.uncompressed) for layer in layers
    ]
    _table(name, ("holds", "digest"), rows)


def _table(title: str, headings: tuple[str, str], rows: list[tuple[str, str, int, int]]) -> None:
    """Two columns of text and two of bytes, shown in MB with their sums."""
    from rich.console import Console

    from farthing.cli.tables import table_of

    table = table_of(title=title, show_footer=True)
    compressed, uncompressed = sum(row[2] for row in rows), sum(row[3] for row in rows)
    table.add_column(headings[0], footer="together")
    table.add_column(headings[1], no_wrap=True)
    table.add_column("compressed, MB", justify="right", footer=f"{compressed / 1e6:.1f}")
    table.add_column("on disk, MB", justify="right", footer=f"{uncompressed / 1e6:.1f}")
    for first, second, *sizes in rows:
        table.add_row(first, second, *(f"{size / 1e6:.1f}" for size in sizes))
    Console(highlight=False).print(table)


def _show_starts(starts: list[ColdStart]) -> None:
    from rich.console import Console

    from farthing.cli.tables import names, numbers, table_of

    if not starts:
        return
    figures = numbers("seconds", "floor", "ratio", "of CPU", "peak MB", "USD a million")
    table = table_of(*names("limits"), *figures, title="cold start")
    for it in starts:
        floor = "-", "-", "-"
        if it.floor_s:
            floor = f"{it.floor_s:.2f}", f"{it.ratio:.2f}", f"{it.cpu_ratio:.2f}"
        price = f"{Decimal(it.total) * MILLION:.2f}"
        table.add_row(it.size.name, f"{it.taken_s:.2f}", *floor, f"{it.peak_mb:.0f}", price)
    Console(highlight=False).print(table)


def _progress(what: str) -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False).status(what)


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


def _write(document: dict[str, Any]) -> None:
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
